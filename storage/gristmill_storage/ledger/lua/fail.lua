-- Returns one mini-batch whose attempt failed, to be leased again after a delay; where another lease holds it too, that one
-- goes on alone.
-- ARGV: instance, token, mini-batch, category, delay in ms. Answers OK, 1; or OK, 0 when it was not held.
local job = load('state')
if not job then
  return LOST
end
local lease = job.state ~= 'closed' and held(ARGV[1], ARGV[2])
if not lease then
  return { 'OK', 0 }
end
local number = tonumber(ARGV[3])
local rest, taken = cut(lease.ranges, number, number)
if #taken == 0 then
  return { 'OK', 0 }
end
lease.ranges = rest
hold(lease)
release(lease, taken, lease.attempts + 1, lease.losses, now + ARGV[5])
count('failed:' .. ARGV[4], 1)
return { 'OK', 1 }
