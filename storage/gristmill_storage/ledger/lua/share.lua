-- Limits the instances that may score for a job at a time; those that are too many are told so when they renew.
-- ARGV: instances, or "" for any number.
local job = load('state', 'share')
if not job then
  return LOST
end
local share = tonumber(ARGV[1])
if job.state == 'closed' or share == job.share then
  return OK
end
if share then
  redis.call('HSET', JOB, 'share', share)
else
  redis.call('HDEL', JOB, 'share')
end
ring()
return OK
