-- Notes a sign of life of a node. KEYS[1] is the hash of all nodes, not one job's.
-- ARGV: node, info, ms that it counts.
local term = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], table.concat({ now + term, term, ARGV[2] }, ':'))
if redis.call('PTTL', KEYS[1]) < term then
  redis.call('PEXPIRE', KEYS[1], term)
end
return OK
