-- Ends a job; its keys go within the hour. The first status stays.
-- ARGV: status, error (JSON or "").
local job = load('state')
if not job then
  return LOST
end
if job.state ~= 'closed' then
  redis.call('HSET', JOB, 'state', 'closed', 'status', ARGV[1])
  if ARGV[2] ~= '' then
    redis.call('HSET', JOB, 'error', ARGV[2])
  end
  ring()
  expire_all(AFTERLIFE)
end
return OK
