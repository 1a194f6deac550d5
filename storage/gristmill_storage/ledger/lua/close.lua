-- Ends a job; its keys go within the hour. The first status stays.
-- ARGV: status.
local job = load('state')
if not job then
  return LOST
end
if job.state ~= 'closed' then
  redis.call('HSET', JOB, 'state', 'closed', 'status', ARGV[1])
  ring()
  expire_all(AFTERLIFE)
end
return OK
