-- Instances: each has one expiry for all that it holds. Those that fell silent are buried by whoever calls next.

-- Sorts leases so that a copy goes before what it was made of: where one instance has both, that comes back in one piece.
local function newest_first(leases)
  table.sort(leases, function(one, other)
    return tonumber(string.match(one.token, '%d+$')) > tonumber(string.match(other.token, '%d+$'))
  end)
  return leases
end

-- Returns all that an instance alone held, with that many more losses. Answers how many mini-batches.
local function release_all(instance, losses)
  local size = 0
  for _, lease in ipairs(newest_first(leases_of(instance))) do
    size = size + release(lease, lease.ranges, lease.attempts, lease.losses + losses, 0)
  end
  redis.call('DEL', lease_key(instance))
  return size
end

-- Strikes an instance out; what it alone held is returned with that many more losses. Returns how many mini-batches.
local function bury(instance, losses)
  local size = release_all(instance, losses)
  redis.call('HDEL', INFO, instance)
  redis.call('HDEL', JOB, 'asked:' .. instance)
  redis.call('ZREM', INSTANCES, instance)
  ring()
  return size
end

-- Puts off an instance's end. Returns false when it is not known.
local function prove_alive(instance, lease_ms)
  local expiry = redis.call('ZSCORE', INSTANCES, instance)
  if not expiry then
    return false
  end
  if tonumber(expiry) < now + lease_ms * 3 / 4 or expiry % 1 == GRACE then
    redis.call('ZADD', INSTANCES, 'XX', now + lease_ms, instance)
  end
  return true
end

-- Buries the instances that fell silent, a few a call. When the job heard nothing from anybody for half a lease, it may be
-- the server that was away (paused, restarted, its clock set), not the instances: then each gets a fresh lease, once until
-- it speaks itself, so that the dead are found even when those who ask do so seldom.
local function reap(job)
  local silence = math.abs(now - job.heard)
  if silence > job.lease_ms / 8 then
    redis.call('HSET', JOB, 'heard', now)
  end
  if silence > job.lease_ms / 2 then
    local flat = redis.call('ZRANGE', INSTANCES, 0, -1, 'WITHSCORES')
    for i = 1, #flat, 2 do
      local limit = now + job.lease_ms + GRACE
      if flat[i + 1] % 1 ~= GRACE or tonumber(flat[i + 1]) > limit then
        redis.call('ZADD', INSTANCES, limit, flat[i])
      end
    end
  end
  local silent = redis.call('ZRANGEBYSCORE', INSTANCES, '-inf', now, 'LIMIT', 0, REAPED_AT_ONCE)
  for _, instance in ipairs(silent) do
    count('losses', bury(instance, 1))
    count('expiries', 1)
  end
end
