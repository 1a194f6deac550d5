-- Leases a range: one that was returned and is due, else the next that was never leased, else a copy of one mini-batch that
-- another lease has held for too long.
-- ARGV: instance, limit, request, ms after which a mini-batch may be copied ("": none is), whether the instance says that it
-- holds nothing (0 or 1), how many it takes at least where what is left is shared out ("": nothing is).
-- Answers LEASE, token, first, last, attempts, losses, chunk, copy (0 or 1);
-- WAIT, ms; OVER, state; or FENCED when the instance is not known (any more).
local job = load('state', 'epoch', 'lease_ms', 'heard', 'cursor', 'planned', 'plan_closed', 'tokens', 'paused', 'oldest')
if not job then
  return LOST
end
if job.state ~= 'open' then
  return { 'OVER', job.state }
end
local instance, limit, request, copy_after, least = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])
if not prove_alive(instance, job.lease_ms) then
  return FENCED
end
reap(job)

local PLAN_GROWS = 200 -- ms between two looks for a plan's next chunk
local IDLE = 1000 -- ms between two looks for what others may return
local PAUSED = 500 -- ms between two looks whether a job goes on

local function chunk_of(number)
  local text = redis.call('ZREVRANGEBYSCORE', CHUNKS, number, '-inf', 'LIMIT', 0, 1)[1]
  return read_ranges(text)[1]
end

local function answer(lease)
  local range = lease.ranges[1]
  local chunk = chunk_of(range[1])[1]
  return { 'LEASE', lease.token, range[1], range[2], lease.attempts, lease.losses, chunk, lease.copy }
end

-- Returns the lease that the same request got before: its answer did not arrive.
local function repeated()
  local token = request ~= '' and redis.call('HGET', lease_key(instance), 'request:' .. request)
  local lease = token and held(instance, token)
  if lease and #lease.ranges > 1 then -- holes were torn into it since: a lease is one range
    release(lease, lease.ranges, lease.attempts, lease.losses, 0)
    lease.ranges = {}
    hold(lease)
    return nil
  end
  return lease
end

-- Whether the instance asked for something later already: then nobody waits for this answer, and what it leased would be
-- held by somebody who does not know. `same`: this very request counts as answered, too; if not, it is noted.
local function is_late(same)
  local caller, number = string.match(request, '^(.*)%-(%d+)$')
  if not caller then
    return false
  end
  local before, last = string.match(redis.call('HGET', JOB, 'asked:' .. instance) or '', '^(.*)%-(%d+)$')
  local ahead = before == caller and last - number or -1
  if same and ahead < 0 then
    redis.call('HSET', JOB, 'asked:' .. instance, request)
  end
  return ahead > 0 or (same and ahead == 0)
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

-- Returns how many of the last mini-batches one instance gets: half of an equal share, so that nobody holds much when there are
-- no more for the others.
local function share_of(left)
  local instances = least and job.plan_closed == 1 and redis.call('ZCARD', INSTANCES) or 1
  return instances > 1 and math.min(limit, math.max(least, math.ceil(left / (2 * instances)))) or limit
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
  local last = math.min(first + share_of(job.planned - first) - 1, chunk_of(first)[2])
  local found = next_done(first, last)
  last = found and found - 1 or last
  redis.call('HSET', JOB, 'cursor', last + 1)
  return { first, last }, 0, 0
end

-- Returns the first mini-batch of ranges that is not in a set.
local function first_outside(ranges, set)
  for _, range in ipairs(ranges) do
    for number = range[1], range[2] do
      if not set[number] then
        return number
      end
    end
  end
  return nil
end

-- Returns the lease that has held a mini-batch the longest of which there is no copy, and the first such mini-batch in it.
local function find_longest()
  local twice, longest, number = {}, nil, nil
  for _, double in ipairs(doubles('-inf', '+inf')) do
    twice[double.number] = true
  end
  for _, holder in ipairs(redis.call('ZRANGE', INSTANCES, 0, -1)) do
    for token, text in each_lease(holder) do
      local made = read_made(text)
      if not longest or made <= longest.made then
        local lease = read_lease(holder, token, text)
        local once = first_outside(lease.ranges, twice)
        if once and (not longest or made < longest.made or once < number) then
          longest, number = lease, once
        end
      end
    end
  end
  return longest, number
end

-- Returns the lease to be copied and the mini-batch; or nil, and the ms after which to look again. Where nothing is old
-- enough, how old the oldest is spares all who ask until then from looking.
local function take_double()
  if not copy_after or job.plan_closed ~= 1 or redis.call('EXISTS', RETURNED) == 1 then
    return nil
  end
  local oldest, longest, number = job.oldest, nil, nil
  if oldest > now or now - oldest >= copy_after then
    longest, number = find_longest()
    oldest = longest and longest.made or now
    redis.call('HSET', JOB, 'oldest', oldest)
    if not longest or now - oldest >= copy_after then
      return longest, number
    end
  end
  return nil, nil, oldest + copy_after - now
end

-- Returns the ms after which something may be there.
local function patience()
  local most = job.plan_closed == 1 and IDLE or PLAN_GROWS
  local due = redis.call('ZRANGE', RETURNED, 0, 0, 'WITHSCORES')[2]
  return due and math.max(1, math.min(most, due - now)) or most
end

-- Writes down a lease of a range.
local function make(range, attempts, losses, copy)
  local lease = {
    instance = instance,
    token = job.epoch .. '-' .. job.tokens + 1,
    attempts = attempts,
    losses = losses,
    ranges = { range },
    made = now,
    copy = copy,
    request = request,
  }
  hold(lease, request ~= '' and 'request:' .. request or nil)
  keep(lease_key(instance))
  count('tokens', 1)
  return lease
end

if is_late(false) then
  return { 'WAIT', patience() }
end
local before = repeated()
if before then
  return answer(before)
end
if is_late(true) then
  return { 'WAIT', patience() }
end
if ARGV[5] == '1' then -- what it holds by this ledger was committed, or never heard of, in a life that the server lost
  release_all(instance, 0)
end
if job.paused == 1 then
  return { 'WAIT', PAUSED }
end
local range, attempts, losses = take_returned()
if not range then
  range, attempts, losses = take_next()
end
if range then
  count('leased', range[2] - range[1] + 1)
  return answer(make(range, attempts, losses, 0))
end
local first, number, later = take_double()
if not first then
  return { 'WAIT', math.min(later or IDLE, patience()) }
end
local copy = make({ number, number }, first.attempts, first.losses, 1)
pair(number, first, copy)
count('copies', 1)
return answer(copy)
