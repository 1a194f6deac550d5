-- Adds one manifest chunk to the plan, and closes the plan when it was the last.
-- ARGV: first, count, items, bytes, closed (0 or 1). Answers OK, or CONFLICT when the chunk does not fit the plan.
local job = load('state', 'planned', 'plan_closed', 'items_planned', 'size_planned')
if not job then
  return LOST
end
local first, amount = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = first + amount - 1
local chunk = first .. '-' .. last
if job.state == 'closed' then
  return OK
end
if amount > 0 and first < job.planned then
  local known = redis.call('ZRANGEBYSCORE', CHUNKS, first, first)[1]
  if known ~= chunk then
    return { 'CONFLICT', 'chunk ' .. chunk .. ' contradicts the plan, which has ' .. (known or 'none that begins there') }
  end
elseif amount > 0 then
  if first > job.planned or job.plan_closed == 1 then
    local fault = job.plan_closed == 1 and ', and is closed' or ''
    return { 'CONFLICT', 'chunk ' .. chunk .. ' does not follow: the plan ends before ' .. job.planned .. fault }
  end
  redis.call('ZADD', CHUNKS, first, chunk)
  keep(CHUNKS)
  job.planned = last + 1
  redis.call(
    'HSET', JOB, 'planned', job.planned,
    'items_planned', job.items_planned + ARGV[3], 'size_planned', job.size_planned + ARGV[4]
  )
end
if ARGV[5] == '1' then
  if last + 1 ~= job.planned then
    return { 'CONFLICT', 'the plan cannot be closed at ' .. last + 1 .. ': it ends before ' .. job.planned }
  end
  redis.call('HSET', JOB, 'plan_closed', 1)
end
settle()
return OK
