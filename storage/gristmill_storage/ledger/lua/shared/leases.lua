-- Ranges that were returned, and leases.

local function put_back(range, attempts, losses, due)
  local member = string.format('%012d-%012d:%d:%d', range[1], range[2], attempts, losses)
  redis.call('ZADD', RETURNED, due, member)
  keep(RETURNED)
end

local function read_returned(member)
  local first, last, attempts, losses = string.match(member, '^(%d+)%-(%d+):(%d+):(%d+)$')
  return { tonumber(first), tonumber(last) }, tonumber(attempts), tonumber(losses)
end

local function read_lease(instance, token, text)
  local attempts, losses, ranges, made, copy, request = string.match(text, '^(%d+):(%d+):([%d,-]+):(%d+):(%d):(.*)$')
  return {
    instance = instance,
    token = token,
    attempts = tonumber(attempts),
    losses = tonumber(losses),
    ranges = read_ranges(ranges),
    made = tonumber(made),
    copy = tonumber(copy),
    request = request,
  }
end

-- Returns when a lease was made.
local function read_made(text)
  return tonumber(string.match(text, '^%d+:%d+:[%d,-]+:(%d+):'))
end

-- Returns the lease of that token when the instance still has it.
local function held(instance, token)
  local text = redis.call('HGET', lease_key(instance), 'lease:' .. token)
  return text and read_lease(instance, token, text) or nil
end

-- Writes a lease down, a new one with the request that it answers; one that holds nothing any more is forgotten, and so is
-- its request.
local function hold(lease, request)
  local key = lease_key(lease.instance)
  if #lease.ranges == 0 then
    redis.call('HDEL', key, 'lease:' .. lease.token, 'request:' .. lease.request)
    return
  end
  local ranges = write_ranges(lease.ranges)
  local text = table.concat({ lease.attempts, lease.losses, ranges, lease.made, lease.copy, lease.request }, ':')
  if request then
    redis.call('HSET', key, 'lease:' .. lease.token, text, request, lease.token)
  else
    redis.call('HSET', key, 'lease:' .. lease.token, text)
  end
end

-- Returns token and text of each lease of an instance, one after the other.
local function each_lease(instance)
  local flat = redis.call('HGETALL', lease_key(instance))
  local i = -1
  return function()
    repeat
      i = i + 2
      local token = flat[i] and string.match(flat[i], '^lease:(.*)$')
      if token then
        return token, flat[i + 1]
      end
    until not flat[i]
  end
end

local function leases_of(instance)
  local leases = {}
  for token, text in each_lease(instance) do
    leases[#leases + 1] = read_lease(instance, token, text)
  end
  return leases
end
