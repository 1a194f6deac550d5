-- Forgets a node that leaves in order. KEYS[1] is the hash of all nodes.
-- ARGV: node.
redis.call('HDEL', KEYS[1], ARGV[1])
return OK
