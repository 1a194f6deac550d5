-- Strikes an instance out that goes of its own will; what it held is returned as it was.
-- ARGV: instance.
local job = load('state')
if not job then
  return LOST
end
if redis.call('ZSCORE', INSTANCES, ARGV[1]) then
  if job.state == 'closed' then
    redis.call('DEL', lease_key(ARGV[1]))
    redis.call('HDEL', INFO, ARGV[1])
    redis.call('ZREM', INSTANCES, ARGV[1])
  else
    bury(ARGV[1], 0)
  end
end
return OK
