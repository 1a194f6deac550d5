-- Tells which nodes live, and forgets the others: those whose time is over, or lies so far ahead that the server's clock
-- must have been set back since. KEYS[1] is the hash of all nodes.
-- Answers OK, {node, ms since its last sign of life, info, ...}.
local flat = redis.call('HGETALL', KEYS[1])
local alive = {}
for i = 1, #flat, 2 do
  local until_ms, term, info = string.match(flat[i + 1], '^(%d+):(%d+):(.*)$')
  local left = tonumber(until_ms) - now
  if left > 0 and left <= 2 * term then
    alive[#alive + 1] = flat[i]
    alive[#alive + 1] = tostring(math.max(0, term - left))
    alive[#alive + 1] = info
  else
    redis.call('HDEL', KEYS[1], flat[i])
  end
end
return { 'OK', alive }
