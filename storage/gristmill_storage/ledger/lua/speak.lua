-- Notes that a scheduler of the caller's protocol leads the job now. The job keeps the greatest of those that led it: who is no
-- neighbour of that may not know what its keys hold.
local job = load('state', 'protocol')
if not job then
  return LOST
end
if (job.protocol or 1) < PROTOCOL then
  redis.call('HSET', JOB, 'protocol', PROTOCOL)
end
return OK
