-- Mini-batches that two leases hold, the first one and a copy: which they are, and what becomes of one when the other ends.
-- Such a mini-batch is leased once by the counts. Where the job has none (`doubled` is 0) nothing here asks the server.

-- Returns the mini-batches in first..last that two leases hold, each with its holders: {token, instance} of both.
local function doubles(first, last)
  local found = {}
  if doubled > 0 then
    local flat = redis.call('ZRANGEBYSCORE', DOUBLES, first, last, 'WITHSCORES')
    for i = 1, #flat, 2 do
      found[#found + 1] = { number = tonumber(flat[i + 1]), holders = cjson.decode(flat[i]) }
    end
  end
  return found
end

local function pair(number, lease, copy)
  local holders = { { lease.token, lease.instance }, { copy.token, copy.instance } }
  redis.call('ZADD', DOUBLES, number, cjson.encode(holders))
  keep(DOUBLES)
  count('doubled', 1)
  doubled = doubled + 1
end

local function unpair(number)
  redis.call('ZREMRANGEBYSCORE', DOUBLES, number, number)
  count('doubled', -1)
  doubled = doubled - 1
end

-- Returns the other lease of a double.
local function other_of(double, token)
  local holder = double.holders[double.holders[1][1] == token and 2 or 1]
  return held(holder[2], holder[1])
end

-- Takes first..last, which the lease of that token has just won, from the leases that hold any of it too.
local function outrun(token, first, last)
  for _, double in ipairs(doubles(first, last)) do
    local lease = other_of(double, token)
    unpair(double.number)
    lease.ranges = cut(lease.ranges, double.number, double.number)
    hold(lease)
    local lost = read_ranges(redis.call('HGET', OUTRUN, lease.token) or '')
    lost[#lost + 1] = { double.number, double.number }
    redis.call('HSET', OUTRUN, lease.token, write_ranges(join(lost)))
    keep(OUTRUN)
  end
end

-- Returns how many mini-batches of first..last a lease lost because the other one won.
local function count_outrun(token, first, last)
  local lost = redis.call('HGET', OUTRUN, token)
  local _, _, size = cut(read_ranges(lost or ''), first, last)
  return size
end

-- Leaves to the others what they hold too: each goes on alone, and may be copied again when it has been held anew for as
-- long as before the first copy. Returns what nobody holds any more.
local function leave_doubles(lease, range)
  local alone = { range }
  for _, double in ipairs(doubles(range[1], range[2])) do
    local other = other_of(double, lease.token)
    unpair(double.number)
    other.made = now
    hold(other)
    alone = cut(alone, double.number, double.number)
  end
  return alone
end

-- Returns ranges that a lease held; what another lease holds too stays with that one. Answers how many are returned.
local function release(lease, ranges, attempts, losses, due)
  local size = 0
  for _, range in ipairs(ranges) do
    for _, alone in ipairs(leave_doubles(lease, range)) do
      put_back(alone, attempts, losses, due)
      size = size + alone[2] - alone[1] + 1
    end
  end
  count('leased', -size)
  count('returned', size)
  return size
end
