-- Tells all that is known of a job, and buries the instances that fell silent.
-- Answers OK, now, the job's fields, info by instance (both flat), number of parts.
local job = load('state', 'lease_ms', 'heard')
if not job then
  return LOST
end
if job.state ~= 'closed' then
  reap(job)
  refresh()
end
return { 'OK', now, redis.call('HGETALL', JOB), redis.call('HGETALL', INFO), redis.call('HLEN', PARTS) }
