-- Ends a job; its keys go within the hour. The first status stays.
-- ARGV: status, error (JSON or ""), epoch ("": whichever). Answers OK, 1; or OK, 0 where the job has another life by now.
local job = load('state', 'epoch')
if not job then
  return LOST
end
if ARGV[3] ~= '' and ARGV[3] ~= job.epoch then -- it was meant for a former life, and comes late
  return { 'OK', 0 }
end
if job.state ~= 'closed' then
  redis.call('HSET', JOB, 'state', 'closed', 'status', ARGV[1])
  if ARGV[2] ~= '' then
    redis.call('HSET', JOB, 'error', ARGV[2])
  end
  ring()
  expire_all(AFTERLIFE)
end
return { 'OK', 1 }
