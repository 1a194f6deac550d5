-- What all transitions share. The loader puts the clock and this in front of each of them.
-- KEYS[1] is the job's hash; the other keys have the same hash tag, so they live in the same cluster slot.

local JOB = KEYS[1]
local HOME = string.sub(JOB, 1, -4)
local CHUNKS = HOME .. 'chunks'
local RETURNED = HOME .. 'returned'
local INSTANCES = HOME .. 'instances'
local INFO = HOME .. 'info'
local DONE = HOME .. 'done'
local PARTS = HOME .. 'parts'
local BELL = HOME .. 'bell'

local LIFE = 30 * 24 * 3600 -- seconds that keys live while the job does, counted from its last sign of life
local DAY = 24 * 3600
local AFTERLIFE = 3600 -- seconds that keys live after the job was closed
local REAPED_AT_ONCE = 8 -- instances that one call buries at most
local GRACE = 0.5 -- fraction of a ms that marks an expiry which was put off although the instance had not spoken
local SUSPECT = 2 -- losses after which mini-batches are leased one by one, to find the one that kills

local LOST = { 'LOST' }
local FENCED = { 'FENCED' }
local OK = { 'OK' }

local now = read_clock()

-- The job's fields ---------------------------------------------------------------------------------------------

local TEXTS = { state = true, epoch = true, error = true, status = true }

-- Returns the named fields, or nil when the job is unknown. 'state' comes first in every call.
local function load(...)
  local names = { ... }
  local values = redis.call('HMGET', JOB, ...)
  if not values[1] then
    return nil
  end
  local job = {}
  for i, name in ipairs(names) do
    job[name] = TEXTS[name] and values[i] or tonumber(values[i])
  end
  return job
end

local function count(name, amount)
  if amount ~= 0 then
    redis.call('HINCRBY', JOB, name, amount)
  end
end

-- Gives a key that may have just come into being its time to live.
local function keep(key)
  redis.call('EXPIRE', key, LIFE, 'NX')
end

local function lease_key(instance)
  return HOME .. 'lease:' .. instance
end

local function every_key()
  local keys = { JOB, CHUNKS, RETURNED, INSTANCES, INFO, DONE, PARTS, BELL }
  for _, instance in ipairs(redis.call('ZRANGE', INSTANCES, 0, -1)) do
    keys[#keys + 1] = lease_key(instance)
  end
  return keys
end

local function expire_all(seconds)
  for _, key in ipairs(every_key()) do
    redis.call('EXPIRE', key, seconds)
  end
end

-- Puts off the end of a job that lives, once a day.
local function refresh()
  if redis.call('TTL', JOB) < LIFE - DAY then
    expire_all(LIFE)
  end
end

-- Wakes a coordinator that waits.
local function ring()
  redis.call('LPUSH', BELL, '1')
  redis.call('LTRIM', BELL, 0, 0)
  keep(BELL)
end

-- Ranges: lists of {first, last}, written "3-9,12" --------------------------------------------------------------

local function read_ranges(text)
  local ranges = {}
  for first, last in string.gmatch(text, '(%d+)%-?(%d*)') do
    first = tonumber(first)
    ranges[#ranges + 1] = { first, tonumber(last) or first }
  end
  return ranges
end

local function write_ranges(ranges)
  local texts = {}
  for i, range in ipairs(ranges) do
    texts[i] = range[1] == range[2] and tostring(range[1]) or range[1] .. '-' .. range[2]
  end
  return table.concat(texts, ',')
end

-- Sorts ranges and joins those that touch.
local function join(ranges)
  table.sort(ranges, function(one, other)
    return one[1] < other[1]
  end)
  local joined = {}
  for _, range in ipairs(ranges) do
    local before = joined[#joined]
    if before and before[2] + 1 >= range[1] then
      before[2] = math.max(before[2], range[2])
    else
      joined[#joined + 1] = { range[1], range[2] }
    end
  end
  return joined
end

-- Returns what is left of ranges without first..last, what was cut out, and how many mini-batches that is.
local function cut(ranges, first, last)
  local rest, taken, size = {}, {}, 0
  for _, range in ipairs(ranges) do
    local from, to = math.max(range[1], first), math.min(range[2], last)
    if from > to then
      rest[#rest + 1] = range
    else
      taken[#taken + 1] = { from, to }
      size = size + to - from + 1
      if range[1] < from then
        rest[#rest + 1] = { range[1], from - 1 }
      end
      if to < range[2] then
        rest[#rest + 1] = { to + 1, range[2] }
      end
    end
  end
  return rest, taken, size
end

-- Returned ranges ------------------------------------------------------------------------------------------------

local function put_back(range, attempts, losses, due)
  local member = string.format('%012d-%012d:%d:%d', range[1], range[2], attempts, losses)
  redis.call('ZADD', RETURNED, due, member)
  keep(RETURNED)
end

local function read_returned(member)
  local first, last, attempts, losses = string.match(member, '^(%d+)%-(%d+):(%d+):(%d+)$')
  return { tonumber(first), tonumber(last) }, tonumber(attempts), tonumber(losses)
end

-- Leases ---------------------------------------------------------------------------------------------------------

local function read_lease(instance, token, text)
  local attempts, losses, ranges, request = string.match(text, '^(%d+):(%d+):([%d,-]+):(.*)$')
  return {
    instance = instance,
    token = token,
    attempts = tonumber(attempts),
    losses = tonumber(losses),
    ranges = read_ranges(ranges),
    request = request,
  }
end

-- Returns the lease of that token when the instance still has it.
local function held(instance, token)
  local text = redis.call('HGET', lease_key(instance), 'lease:' .. token)
  return text and read_lease(instance, token, text) or nil
end

-- Writes a lease down; one that holds nothing any more is forgotten, and so is the request that it answered.
local function hold(lease)
  local key = lease_key(lease.instance)
  if #lease.ranges == 0 then
    redis.call('HDEL', key, 'lease:' .. lease.token, 'request:' .. lease.request)
    return
  end
  local text = table.concat({ lease.attempts, lease.losses, write_ranges(lease.ranges), lease.request }, ':')
  redis.call('HSET', key, 'lease:' .. lease.token, text)
end

local function leases_of(instance)
  local flat = redis.call('HGETALL', lease_key(instance))
  local leases = {}
  for i = 1, #flat, 2 do
    local token = string.match(flat[i], '^lease:(.*)$')
    if token then
      leases[#leases + 1] = read_lease(instance, token, flat[i + 1])
    end
  end
  return leases
end

-- Returns ranges that an instance held, and how many mini-batches they are.
local function release(ranges, attempts, losses, due)
  local size = 0
  for _, range in ipairs(ranges) do
    put_back(range, attempts, losses, due)
    size = size + range[2] - range[1] + 1
  end
  count('leased', -size)
  count('returned', size)
  return size
end

-- Instances ------------------------------------------------------------------------------------------------------

-- Strikes an instance out; what it held is returned with that many more losses. Returns how many mini-batches.
local function bury(instance, losses)
  local size = 0
  for _, lease in ipairs(leases_of(instance)) do
    size = size + release(lease.ranges, lease.attempts, lease.losses + losses, 0)
  end
  redis.call('DEL', lease_key(instance))
  redis.call('HDEL', INFO, instance)
  redis.call('ZREM', INSTANCES, instance)
  ring()
  return size
end

-- Puts off an instance's end. Returns false when it is not known.
local function prove_alive(instance, lease_ms)
  local expiry = redis.call('ZSCORE', INSTANCES, instance)
  if not expiry then
    return false
  end
  if tonumber(expiry) < now + lease_ms * 3 / 4 or expiry % 1 == GRACE then
    redis.call('ZADD', INSTANCES, 'XX', now + lease_ms, instance)
  end
  return true
end

-- Buries the instances that fell silent, a few a call. When the job heard nothing from anybody for half a lease, it may be
-- the server that was away (paused, restarted, its clock set), not the instances: then each gets a fresh lease, once until
-- it speaks itself, so that the dead are found even when those who ask do so seldom.
local function reap(job)
  local silence = math.abs(now - job.heard)
  if silence > job.lease_ms / 8 then
    redis.call('HSET', JOB, 'heard', now)
  end
  if silence > job.lease_ms / 2 then
    local flat = redis.call('ZRANGE', INSTANCES, 0, -1, 'WITHSCORES')
    for i = 1, #flat, 2 do
      local limit = now + job.lease_ms + GRACE
      if flat[i + 1] % 1 ~= GRACE or tonumber(flat[i + 1]) > limit then
        redis.call('ZADD', INSTANCES, limit, flat[i])
      end
    end
  end
  local silent = redis.call('ZRANGEBYSCORE', INSTANCES, '-inf', now, 'LIMIT', 0, REAPED_AT_ONCE)
  for _, instance in ipairs(silent) do
    count('losses', bury(instance, 1))
    count('expiries', 1)
  end
end

-- What is done ---------------------------------------------------------------------------------------------------

-- Sets the bits first..last: whole bytes at once, the ragged ends (less than 8 bits each) as bit fields.
local function mark_done(first, last)
  local beyond = last + 1
  local head = math.min(beyond, math.ceil(first / 8) * 8)
  local tail = math.max(head, math.floor(beyond / 8) * 8)
  if first < head then
    redis.call('BITFIELD', DONE, 'SET', 'u' .. head - first, first, 2 ^ (head - first) - 1)
  end
  if head < tail then
    redis.call('SETRANGE', DONE, head / 8, string.rep('\255', (tail - head) / 8))
  end
  if tail < beyond then
    redis.call('BITFIELD', DONE, 'SET', 'u' .. beyond - tail, tail, 2 ^ (beyond - tail) - 1)
  end
  keep(DONE)
end

-- Returns the first mini-batch in first..last that is not done, or nil.
local function next_open(first, last)
  local length = redis.call('STRLEN', DONE) * 8
  if first >= length then
    return first <= last and first or nil
  end
  local found = redis.call('BITPOS', DONE, 0, first, last, 'BIT')
  if found >= 0 then
    return found
  end
  return length <= last and length or nil
end

-- Returns the first mini-batch in first..last that is done, or nil.
local function next_done(first, last)
  local found = redis.call('BITPOS', DONE, 1, first, last, 'BIT')
  return found >= 0 and found or nil
end

-- Adds what an entry counted: ARGV[at + 1 ...] = items, succeeded, failed, rows, size.
local COUNTS = { 'items_done', 'succeeded', 'failed', 'rows', 'size' }

local function add(totals, at)
  for i, name in ipairs(COUNTS) do
    totals[name] = (totals[name] or 0) + tonumber(ARGV[at + i])
  end
end

-- Notes a part of which something is accepted.
local function accept(part, ranges, totals)
  redis.call('HSET', PARTS, part, write_ranges(join(ranges)))
  keep(PARTS)
  for name, amount in pairs(totals) do
    count(name, amount)
  end
  redis.call('HSET', JOB, 'committed', now)
end

-- Ends the scoring when too much failed or all is done. Returns the job's state.
local function settle()
  local job = load('state', 'failed', 'threshold', 'plan_closed', 'planned', 'done')
  if job.state ~= 'open' then
    return job.state
  end
  if job.threshold >= 0 and job.failed > job.threshold then
    local message = string.format(
      'error_threshold: %d items failed and %d are allowed; see errors.jsonl, mend the input or the script, or allow more',
      job.failed,
      job.threshold
    )
    local document = cjson.encode({ class = 'ThresholdExceeded', message = message, detail = '' })
    redis.call('HSET', JOB, 'state', 'stopped', 'error', document)
    ring()
    return 'stopped'
  end
  if job.plan_closed == 1 and job.done == job.planned then
    redis.call('HSET', JOB, 'state', 'scored')
    ring()
    return 'scored'
  end
  return 'open'
end
