-- Ends the leasing of an open job; the first one wins.
-- ARGV: state, error (JSON or ""), epoch ("": whichever). Answers OK, 1 when the job is stopped as asked; else OK, 0.
local job = load('state', 'error', 'epoch')
if not job then
  return LOST
end
if ARGV[3] ~= '' and ARGV[3] ~= job.epoch then -- it was meant for a former life, and comes late
  return { 'OK', 0 }
end
if job.state == 'open' then
  redis.call('HSET', JOB, 'state', ARGV[1], 'error', ARGV[2])
  ring()
  return { 'OK', 1 }
end
local same = job.state == ARGV[1] and job.error == ARGV[2] -- the same call once more: its answer did not arrive
return { 'OK', same and 1 or 0 }
