-- Notes a job among those that run. KEYS[1] is the hash of all jobs, not one job's.
-- ARGV: job, folder.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], LIFE)
return OK
