-- Takes an instance in; a job that is closed takes none. One whose scoring is over takes its aggregator.
-- ARGV: instance, info. Answers OK, epoch, lease in ms, state; "full" in place of the state "open" when the job has its share
-- of instances: then this one was not taken in.
local job = load('state', 'epoch', 'lease_ms', 'heard', 'share')
if not job then
  return LOST
end
if job.state ~= 'closed' then
  reap(job)
  local info = redis.call('HGET', INFO, ARGV[1])
  if not info and job.state == 'open' and is_full(job.share, ARGV[2]) then
    return { 'OK', job.epoch, job.lease_ms, 'full' }
  end
  local since = info and string.match(info, '^(%d+):') or now
  redis.call('ZADD', INSTANCES, now + job.lease_ms, ARGV[1])
  redis.call('HSET', INFO, ARGV[1], since .. ':' .. ARGV[2])
  keep(INSTANCES)
  keep(INFO)
  if not info then
    ring()
  end
end
return { 'OK', job.epoch, job.lease_ms, job.state }
