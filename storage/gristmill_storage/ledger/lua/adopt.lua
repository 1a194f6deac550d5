-- Takes what a part on storage holds as done, without a lease; what is done already is passed over.
-- ARGV: part, then for each entry: first, last, items, succeeded, failed, rows, bytes, tallies (these count where all of the entry
-- is new).
local job = load('state', 'planned', 'leased', 'returned')
if not job then
  return LOST
end
if job.state == 'closed' or redis.call('HEXISTS', PARTS, ARGV[1]) == 1 then
  return OK
end
local FIELDS = 8

for at = 2, #ARGV, FIELDS do
  if tonumber(ARGV[at + 1]) >= job.planned then
    local range = ARGV[at] .. '-' .. ARGV[at + 1]
    return { 'CONFLICT', 'part ' .. ARGV[1] .. ' holds ' .. range .. ': the plan ends before ' .. job.planned }
  end
end

-- Returns what of a range is not done.
local function open_runs(first, last)
  local runs = {}
  local from = next_open(first, last)
  while from do
    local found = next_done(from, last)
    local to = found and found - 1 or last
    runs[#runs + 1] = { from, to }
    from = to < last and next_open(to + 1, last) or nil
  end
  return runs
end

-- Returns what of ranges is not done, and how many mini-batches are.
local function without_done(ranges)
  local rest, size = {}, 0
  for _, range in ipairs(ranges) do
    size = size + range[2] - range[1] + 1
    for _, run in ipairs(open_runs(range[1], range[2])) do
      rest[#rest + 1] = run
      size = size - (run[2] - run[1] + 1)
    end
  end
  return rest, size
end

-- Takes what is done now from whoever has it: once for the whole part, however many ranges it has.
local function revoke(ranges)
  for _, range in ipairs(ranges) do
    for _, double in ipairs(doubles(range[1], range[2])) do
      unpair(double.number)
      count('leased', 1) -- both leases lose it below
    end
  end
  for _, instance in ipairs(job.leased > 0 and redis.call('ZRANGE', INSTANCES, 0, -1) or {}) do
    for _, lease in ipairs(leases_of(instance)) do
      local rest, size = without_done(lease.ranges)
      if size > 0 then
        lease.ranges = rest
        hold(lease)
        count('leased', -size)
      end
    end
  end
  local flat = job.returned > 0 and redis.call('ZRANGE', RETURNED, 0, -1, 'WITHSCORES') or {}
  for i = 1, #flat, 2 do
    local range, attempts, losses = read_returned(flat[i])
    local rest, size = without_done({ range })
    if size > 0 then
      redis.call('ZREM', RETURNED, flat[i])
      for _, left in ipairs(rest) do
        put_back(left, attempts, losses, flat[i + 1])
      end
      count('returned', -size)
    end
  end
end

-- Counts an entry of which only `share` is new in proportion; `succeeded` takes what rounding leaves.
local function add_share(totals, at, share)
  for i, name in ipairs(COUNTS) do
    if name ~= 'succeeded' then
      totals[name] = (totals[name] or 0) + math.floor(ARGV[at + i] * share)
    end
  end
  local scored = math.floor(ARGV[at + 1] * share) - math.floor(ARGV[at + 3] * share)
  totals.succeeded = (totals.succeeded or 0) + scored
end

local accepted, totals = {}, { done = 0 }
for at = 2, #ARGV, FIELDS do
  local first, last = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local fresh = 0
  for _, run in ipairs(open_runs(first, last)) do
    mark_done(run[1], run[2])
    accepted[#accepted + 1] = run
    fresh = fresh + run[2] - run[1] + 1
  end
  totals.done = totals.done + fresh
  if fresh == last - first + 1 then
    add(totals, at + 1)
    tally(ARGV[at + 7])
  elseif fresh > 0 then
    add_share(totals, at + 1, fresh / (last - first + 1))
  end
end
if #accepted > 0 then
  revoke(accepted)
  accept(ARGV[1], accepted, totals)
  keep(TALLIES)
  settle()
end
return OK
