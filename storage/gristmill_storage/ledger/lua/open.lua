-- Begins a job, or a closed one's next life.
-- ARGV: epoch, lease in ms, error threshold. Answers OK, or CONFLICT when the job lives under another epoch.
local job = load('state', 'epoch')
if job and job.epoch == ARGV[1] then
  return OK
end
if job and job.state ~= 'closed' then
  return { 'CONFLICT', 'it is open under the epoch ' .. job.epoch .. ', not ' .. ARGV[1] }
end
if LOST[1] == 'STRANGER' and redis.call('HGET', JOB, 'state') ~= 'closed' then
  return LOST
end
redis.call('DEL', unpack(every_key()))
redis.call(
  'HSET', JOB,
  'state', 'open', 'epoch', ARGV[1], 'lease_ms', ARGV[2], 'threshold', ARGV[3], 'protocol', PROTOCOL,
  'error', '', 'status', '', 'plan_closed', 0,
  'planned', 0, 'items_planned', 0, 'size_planned', 0,
  'cursor', 0, 'tokens', 0, 'leased', 0, 'returned', 0, 'done', 0,
  'items_done', 0, 'succeeded', 0, 'failed', 0, 'rows', 0, 'size', 0,
  'losses', 0, 'expiries', 0, 'fenced', 0, 'doubled', 0, 'copies', 0, 'outrun', 0, 'paused', 0, 'oldest', 0, 'heard', now, 'committed', now
)
keep(JOB)
return OK
