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

-- Returns the instances that score, those first that are to leave first: who leaves already, then who is ready, of these
-- who has been there the longest. Each is {rank, since, name}.
local function scoring()
  local found = {}
  local flat = redis.call('HGETALL', INFO)
  for i = 1, #flat, 2 do
    local since, document = string.match(flat[i + 1], '^(%d+):(.*)$')
    local info = cjson.decode(document)
    if info.role ~= 'aggregator' then
      local rank = info.leaving == true and 0 or type(info.ready_after) == 'number' and 1 or 2
      found[#found + 1] = { rank, tonumber(since), flat[i] }
    end
  end
  table.sort(found, function(one, other)
    for i = 1, 3 do
      if one[i] ~= other[i] then
        return one[i] < other[i]
      end
    end
    return false
  end)
  return found
end

-- Returns whether a job has no place for an instance that says this of itself.
local function is_full(share, info)
  return share ~= nil
    and redis.call('HLEN', INFO) >= share
    and cjson.decode(info).role ~= 'aggregator'
    and #scoring() >= share
end

-- Returns whether an instance is one of those that are more than the job's share. Each asks so with every sign of life: what
-- all of them say of themselves is read only where there are too many.
local function is_surplus(share, instance)
  if not share or redis.call('HLEN', INFO) <= share then
    return false
  end
  local found = scoring()
  for i = 1, #found - share do
    if found[i][3] == instance then
      return true
    end
  end
  return false
end
