-- Takes an instance in; a job that is closed takes none. One whose scoring is over takes its aggregator.
-- ARGV: instance, info. Answers OK, epoch, lease in ms, state.
local job = load('state', 'epoch', 'lease_ms', 'heard')
if not job then
  return LOST
end
if job.state ~= 'closed' then
  reap(job)
  local info = redis.call('HGET', INFO, ARGV[1])
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
