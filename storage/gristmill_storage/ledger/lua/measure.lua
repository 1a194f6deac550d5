-- Tells what the exporter of metrics shows of a job; changes nothing.
-- Answers OK, now, the job's fields, info by instance (both flat), number of parts, tallies (flat), and of each instance that
-- holds something its name, when the oldest of its leases was made, and how many mini-batches they have (flat).
local job = load('state')
if not job then
  return LOST
end
local holders = {}
for _, instance in ipairs(redis.call('ZRANGE', INSTANCES, 0, -1)) do
  local oldest, size = now, 0
  for _, lease in ipairs(leases_of(instance)) do
    oldest = math.min(oldest, lease.made)
    for _, range in ipairs(lease.ranges) do
      size = size + range[2] - range[1] + 1
    end
  end
  if size > 0 then
    holders[#holders + 1] = instance
    holders[#holders + 1] = tostring(oldest)
    holders[#holders + 1] = tostring(size)
  end
end
local tallies = redis.call('HGETALL', TALLIES)
return { 'OK', now, redis.call('HGETALL', JOB), redis.call('HGETALL', INFO), redis.call('HLEN', PARTS), tallies, holders }
