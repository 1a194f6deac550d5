-- Returns ranges of a lease as they were, at once.
-- ARGV: instance, token, then first, last of each range; none: all that is left of the lease.
local job = load('state')
if not job then
  return LOST
end
local lease = job.state ~= 'closed' and held(ARGV[1], ARGV[2])
if not lease then
  return OK
end
local back = {}
if #ARGV == 2 then
  back, lease.ranges = lease.ranges, {}
end
for at = 3, #ARGV, 2 do
  local rest, taken = cut(lease.ranges, tonumber(ARGV[at]), tonumber(ARGV[at + 1]))
  lease.ranges = rest
  for _, range in ipairs(taken) do
    back[#back + 1] = range
  end
end
hold(lease)
release(lease, back, lease.attempts, lease.losses, 0)
return OK
