-- Takes what a part on storage holds as done, without a lease; what is done already is passed over.
-- ARGV: part, then for each entry: first, last, items, succeeded, failed, rows, bytes.
local job = load('state', 'planned', 'leased', 'returned')
if not job then
  return LOST
end
if job.state == 'closed' or redis.call('HEXISTS', PARTS, ARGV[1]) == 1 then
  return OK
end
local FIELDS = 7

for at = 2, #ARGV, FIELDS do
  if tonumber(ARGV[at + 1]) >= job.planned then
    local range = ARGV[at] .. '-' .. ARGV[at + 1]
    return { 'CONFLICT', 'part ' .. ARGV[1] .. ' holds ' .. range .. ': the plan ends before ' .. job.planned }
  end
end

-- Takes first..last from whoever has it.
local function revoke(first, last)
  if job.leased > 0 then
    for _, instance in ipairs(redis.call('ZRANGE', INSTANCES, 0, -1)) do
      for _, lease in ipairs(leases_of(instance)) do
        local rest, _, size = cut(lease.ranges, first, last)
        if size > 0 then
          lease.ranges = rest
          hold(lease)
          count('leased', -size)
        end
      end
    end
  end
  if job.returned > 0 then
    local flat = redis.call('ZRANGE', RETURNED, 0, -1, 'WITHSCORES')
    for i = 1, #flat, 2 do
      local range, attempts, losses = read_returned(flat[i])
      local rest, _, size = cut({ range }, first, last)
      if size > 0 then
        redis.call('ZREM', RETURNED, flat[i])
        for _, left in ipairs(rest) do
          put_back(left, attempts, losses, flat[i + 1])
        end
        count('returned', -size)
      end
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
  local from = next_open(first, last)
  while from do
    local found = next_done(from, last)
    local to = found and found - 1 or last
    revoke(from, to)
    mark_done(from, to)
    accepted[#accepted + 1] = { from, to }
    fresh = fresh + to - from + 1
    from = to < last and next_open(to + 1, last) or nil
  end
  totals.done = totals.done + fresh
  if fresh == last - first + 1 then
    add(totals, at + 1)
  elseif fresh > 0 then
    add_share(totals, at + 1, fresh / (last - first + 1))
  end
end
if #accepted > 0 then
  accept(ARGV[1], accepted, totals)
  settle()
end
return OK
