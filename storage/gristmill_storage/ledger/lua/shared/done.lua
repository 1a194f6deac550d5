-- What is done: a bit a mini-batch, the parts that count, the sums, and the end of the scoring.

-- Sets the bits first..last: whole bytes at once, the ragged ends (less than 8 bits each) as bit fields.
local function mark_done(first, last)
  local beyond = last + 1
  local head = math.min(beyond, math.ceil(first / 8) * 8)
  local tail = math.max(head, math.floor(beyond / 8) * 8)
  if first < head then
    redis.call('BITFIELD', DONE, 'SET', 'u' .. head - first, first, 2 ^ (head - first) - 1)
  end
  if head < tail then
    redis.call('SETRANGE', DONE, head / 8, string.rep('\255', (tail - head) / 8))
  end
  if tail < beyond then
    redis.call('BITFIELD', DONE, 'SET', 'u' .. beyond - tail, tail, 2 ^ (beyond - tail) - 1)
  end
  keep(DONE)
end

-- Returns the first mini-batch in first..last that is not done, or nil.
local function next_open(first, last)
  local length = redis.call('STRLEN', DONE) * 8
  if first >= length then
    return first <= last and first or nil
  end
  local found = redis.call('BITPOS', DONE, 0, first, last, 'BIT')
  if found >= 0 then
    return found
  end
  return length <= last and length or nil
end

-- Returns the first mini-batch in first..last that is done, or nil.
local function next_done(first, last)
  local found = redis.call('BITPOS', DONE, 1, first, last, 'BIT')
  return found >= 0 and found or nil
end

-- Adds what an entry counted: ARGV[at + 1 ...] = items, succeeded, failed, rows, size.
local COUNTS = { 'items_done', 'succeeded', 'failed', 'rows', 'size' }

local function add(totals, at)
  for i, name in ipairs(COUNTS) do
    totals[name] = (totals[name] or 0) + tonumber(ARGV[at + i])
  end
end

-- Notes a part of which something is accepted.
local function accept(part, ranges, totals)
  redis.call('HSET', PARTS, part, write_ranges(join(ranges)))
  keep(PARTS)
  for name, amount in pairs(totals) do
    count(name, amount)
  end
  redis.call('HSET', JOB, 'committed', now)
end

-- Ends the scoring when too much failed or all is done. Returns the job's state.
local function settle()
  local job = load('state', 'failed', 'threshold', 'plan_closed', 'planned', 'done')
  if job.state ~= 'open' then
    return job.state
  end
  if job.threshold >= 0 and job.failed > job.threshold then
    local message = string.format(
      'error_threshold: %d %s failed, %d allowed; see errors.jsonl, mend the input or the script, or allow more',
      job.failed,
      job.failed == 1 and 'item' or 'items',
      job.threshold
    )
    local document = cjson.encode({ class = 'ThresholdExceeded', message = message, detail = '' })
    redis.call('HSET', JOB, 'state', 'stopped', 'error', document)
    ring()
    return 'stopped'
  end
  if job.plan_closed == 1 and job.done == job.planned then
    redis.call('HSET', JOB, 'state', 'scored')
    ring()
    return 'scored'
  end
  return 'open'
end
