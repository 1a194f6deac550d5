-- Holds the leasing of an open job up, or lets it go on. Commits and failures are taken meanwhile.
-- ARGV: 1 (hold) or 0. Answers OK, 1 when it is as asked; OK, 0 when the job is not open.
local job = load('state')
if not job then
  return LOST
end
if job.state ~= 'open' then
  return { 'OK', 0 }
end
redis.call('HSET', JOB, 'paused', ARGV[1])
return { 'OK', 1 }
