-- What all transitions share, first part: the keys, the job's fields, ranges. The loader puts the clock, this, leases, copies,
-- instances and done in front of each of them.
-- KEYS[1] is the job's hash; the other keys have the same hash tag, so they live in the same cluster slot. PROTOCOL is what the
-- caller speaks.

local JOB = KEYS[1]
local HOME = string.sub(JOB, 1, -4)
local CHUNKS = HOME .. 'chunks'
local RETURNED = HOME .. 'returned'
local INSTANCES = HOME .. 'instances'
local INFO = HOME .. 'info'
local DONE = HOME .. 'done'
local PARTS = HOME .. 'parts'
local TALLIES = HOME .. 'tallies'
local DOUBLES = HOME .. 'doubles'
local OUTRUN = HOME .. 'outrun'
local BELL = HOME .. 'bell'
local LEADER = HOME .. 'leader'

local LIFE = 30 * 24 * 3600 -- seconds that keys live while the job does, counted from its last sign of life
local DAY = 24 * 3600
local AFTERLIFE = 3600 -- seconds that keys live after the job was closed
local REAPED_AT_ONCE = 8 -- instances that one call buries at most
local GRACE = 0.5 -- fraction of a ms that marks an expiry which was put off although the instance had not spoken
local SUSPECT = 2 -- losses after which mini-batches are leased one by one, to find the one that kills

local LOST = { 'LOST' } -- the answer where there is no job to work on; `load` makes it say so of a job of another version
local FENCED = { 'FENCED' }
local OK = { 'OK' }

local now = read_clock()

-- The job's fields ---------------------------------------------------------------------------------------------

local TEXTS = { state = true, epoch = true, error = true, status = true }

-- Mini-batches that two leases hold now, as the job's hash says: where it is 0, nobody looks for them.
local doubled = 0

-- Returns the named fields, or nil when the job is unknown, or no neighbour of the caller. 'state' comes first in every call.
local function load(...)
  local names = { ... }
  local values = redis.call('HMGET', JOB, 'doubled', 'protocol', ...)
  if not values[3] then
    return nil
  end
  local protocol = tonumber(values[2]) or 1
  if math.abs(protocol - PROTOCOL) > 1 then
    LOST = { 'STRANGER', protocol }
    return nil
  end
  doubled = tonumber(values[1]) or 0
  local job = {}
  for i, name in ipairs(names) do
    job[name] = TEXTS[name] and values[i + 2] or tonumber(values[i + 2])
  end
  return job
end

local function count(name, amount)
  if amount ~= 0 then
    redis.call('HINCRBY', JOB, name, amount)
  end
end

-- Adds what instances counted and timed: "name=amount name=amount".
local function tally(text)
  for name, amount in string.gmatch(text, '(%S+)=(%d+)') do
    redis.call('HINCRBY', TALLIES, name, amount)
  end
end

-- Gives a key that may have just come into being its time to live.
local function keep(key)
  redis.call('EXPIRE', key, LIFE, 'NX')
end

local function lease_key(instance)
  return HOME .. 'lease:' .. instance
end

-- All keys of the job save its leader's, which has a time to live of its own and outlasts the job's lives.
local function every_key()
  local keys = { JOB, CHUNKS, RETURNED, INSTANCES, INFO, DONE, PARTS, TALLIES, DOUBLES, OUTRUN, BELL }
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

-- Returns until when somebody leads the job, for how many ms at a time, and who; nothing when nobody does.
local function read_leader()
  local until_ms, term, leader = string.match(redis.call('GET', LEADER) or '', '^(%d+):(%d+):(.*)$')
  return tonumber(until_ms), tonumber(term), leader
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
