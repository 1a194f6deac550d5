-- Leases a range: one that was returned and is due, else the next that was never leased.
-- ARGV: instance, limit, request. Answers LEASE, token, first, last, attempts, losses, chunk;
-- WAIT, ms; OVER, state; or FENCED when the instance is not known (any more).
local job = load('state', 'epoch', 'lease_ms', 'heard', 'cursor', 'planned', 'plan_closed', 'tokens')
if not job then
  return LOST
end
if job.state ~= 'open' then
  return { 'OVER', job.state }
end
local instance, limit, request = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not prove_alive(instance, job.lease_ms) then
  return FENCED
end
reap(job)

local PLAN_GROWS = 200 -- ms between two looks for a plan's next chunk
local IDLE = 1000 -- ms between two looks for what others may return

local function chunk_of(number)
  local text = redis.call('ZREVRANGEBYSCORE', CHUNKS, number, '-inf', 'LIMIT', 0, 1)[1]
  return read_ranges(text)[1]
end

local function answer(lease)
  local range = lease.ranges[1]
  local chunk = chunk_of(range[1])[1]
  return { 'LEASE', lease.token, range[1], range[2], lease.attempts, lease.losses, chunk }
end

-- Returns the lease that the same request got before: its answer did not arrive.
local function repeated()
  local token = request ~= '' and redis.call('HGET', lease_key(instance), 'request:' .. request)
  local lease = token and held(instance, token)
  if lease and #lease.ranges > 1 then -- holes were torn into it since: a lease is one range
    release(lease.ranges, lease.attempts, lease.losses, 0)
    lease.ranges = {}
    hold(lease)
    return nil
  end
  return lease
end

-- Returns a range (with its attempts and losses) that was returned and is due.
local function take_returned()
  local found = redis.call('ZRANGEBYSCORE', RETURNED, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  if not found[1] then
    return nil
  end
  local range, attempts, losses = read_returned(found[1])
  redis.call('ZREM', RETURNED, found[1])
  local size = losses >= SUSPECT and 1 or limit
  local last = math.min(range[2], range[1] + size - 1)
  if last < range[2] then
    put_back({ last + 1, range[2] }, attempts, losses, found[2])
  end
  count('returned', -(last - range[1] + 1))
  return { range[1], last }, attempts, losses
end

-- Returns the next range that was never leased, and moves the cursor past it.
local function take_next()
  if job.cursor >= job.planned then
    return nil
  end
  local first = next_open(job.cursor, job.planned - 1)
  if not first then
    redis.call('HSET', JOB, 'cursor', job.planned)
    return nil
  end
  local last = math.min(first + limit - 1, chunk_of(first)[2])
  local found = next_done(first, last)
  last = found and found - 1 or last
  redis.call('HSET', JOB, 'cursor', last + 1)
  return { first, last }, 0, 0
end

-- Returns the ms after which something may be there.
local function pause()
  local most = job.plan_closed == 1 and IDLE or PLAN_GROWS
  local due = redis.call('ZRANGE', RETURNED, 0, 0, 'WITHSCORES')[2]
  return due and math.max(1, math.min(most, due - now)) or most
end

local before = repeated()
if before then
  return answer(before)
end
local range, attempts, losses = take_returned()
if not range then
  range, attempts, losses = take_next()
end
if not range then
  return { 'WAIT', pause() }
end
local token = job.epoch .. '-' .. job.tokens + 1
local lease =
  { instance = instance, token = token, attempts = attempts, losses = losses, ranges = { range }, request = request }
hold(lease)
if request ~= '' then
  redis.call('HSET', lease_key(instance), 'request:' .. request, token)
end
keep(lease_key(instance))
redis.call('HINCRBY', JOB, 'tokens', 1)
count('leased', range[2] - range[1] + 1)
return answer(lease)
