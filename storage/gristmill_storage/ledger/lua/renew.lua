-- Puts off an instance's end, and with it that of all its leases.
-- ARGV: instance, info. Answers OK, state; or FENCED when the instance is not known (any more). "surplus" in place of the state
-- "open" tells an instance to leave, because the job has more than its share.
local job = load('state', 'lease_ms', 'heard', 'share')
if not job then
  return LOST
end
local info = redis.call('HGET', INFO, ARGV[1])
if not info then
  return FENCED
end
if job.state ~= 'closed' then
  redis.call('ZADD', INSTANCES, 'XX', now + job.lease_ms, ARGV[1])
  redis.call('HSET', INFO, ARGV[1], string.match(info, '^(%d+:)') .. ARGV[2])
  reap(job)
  refresh()
end
if job.state == 'open' and is_surplus(job.share, ARGV[1]) then
  return { 'OK', 'surplus' }
end
return { 'OK', job.state }
