-- Milliseconds since 1970, by the server: the clocks of workers never count.
local function read_clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
