-- Takes what a durable part holds as done, entry by entry, where the entry's lease still covers it. An entry that is
-- covered in places only is refused, and those places are returned: its part will never be read.
-- ARGV: instance, part, the instance's node, its tallies, then for each entry: token, first, last, items, succeeded, failed,
-- rows, bytes, tallies. What is counted beside the sums counts once, with the first commit of the part, and only where something
-- of the part does; an entry's tallies only where the entry does.
-- Answers COMMIT, state, accepted, refused (flat lists of first, last). A part that is known answers as the first time.
local job = load('state', 'lease_ms')
if not job then
  return LOST
end
local instance, part = ARGV[1], ARGV[2]
local node, tallies = ARGV[3], ARGV[4]
local FIELDS, FIRST = 9, 5
local accepted, refused = {}, {}

local function note(list, first, last)
  list[#list + 1] = first
  list[#list + 1] = last
end

local known = redis.call('HGET', PARTS, part)
if known then
  local ranges = read_ranges(known)
  for at = FIRST, #ARGV, FIELDS do
    local first, last = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local _, inside = cut(ranges, first, last)
    local outside = { { first, last } }
    for _, range in ipairs(inside) do
      note(accepted, range[1], range[2])
      outside = cut(outside, range[1], range[2])
    end
    for _, range in ipairs(outside) do
      note(refused, range[1], range[2])
    end
  end
  return { 'COMMIT', job.state, accepted, refused }
end

-- Whether the lease of that token covered first..last; if so, it does no longer.
local function spend(token, first, last)
  local lease = job.state ~= 'closed' and held(instance, token)
  if not lease then
    return false
  end
  local rest, taken, size = cut(lease.ranges, first, last)
  lease.ranges = rest
  hold(lease)
  if size < last - first + 1 then
    release(lease, taken, lease.attempts, lease.losses, 0)
    return false
  end
  outrun(token, first, last)
  return true
end

local ranges, totals, outran, fenced = {}, { done = 0 }, 0, 0
for at = FIRST, #ARGV, FIELDS do
  local first, last = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if spend(ARGV[at], first, last) then
    note(accepted, first, last)
    ranges[#ranges + 1] = { first, last }
    mark_done(first, last)
    totals.done = totals.done + last - first + 1
    add(totals, at + 2)
    tally(ARGV[at + 8])
  else
    note(refused, first, last)
    local beaten = count_outrun(ARGV[at], first, last)
    outran = outran + beaten
    fenced = fenced + last - first + 1 - beaten
  end
end
if #ranges > 0 then
  count('leased', -totals.done)
  accept(part, ranges, totals)
  tally(tallies)
  for _, name in ipairs({ 'items_done', 'rows', 'done' }) do
    redis.call('HINCRBY', TALLIES, table.concat({ 'node', name, node }, ':'), totals[name])
  end
  keep(TALLIES)
  prove_alive(instance, job.lease_ms)
  job.state = settle()
end
count('outrun', outran)
count('fenced', fenced)
return { 'COMMIT', job.state, accepted, refused }
