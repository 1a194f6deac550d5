-- Strikes an instance out that goes of its own will; what it held is returned as it was.
-- ARGV: instance.
local job = load('state')
if not job then
  return LOST
end
if redis.call('ZSCORE', INSTANCES, ARGV[1]) then
  if job.state == 'closed' then -- nothing is returned any more
    for _, lease in ipairs(leases_of(ARGV[1])) do
      for _, range in ipairs(lease.ranges) do
        for _, alone in ipairs(leave_doubles(lease, range)) do
          count('leased', alone[1] - alone[2] - 1)
        end
      end
    end
    redis.call('DEL', lease_key(ARGV[1]))
    redis.call('HDEL', INFO, ARGV[1])
    redis.call('HDEL', JOB, 'asked:' .. ARGV[1])
    redis.call('ZREM', INSTANCES, ARGV[1])
  else
    bury(ARGV[1], 0)
  end
end
return OK
