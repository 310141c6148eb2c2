#!lua flags=allow-oom
--- @include "lib/queue"
-- Forgets ended jobs beyond retention. A job that ended less than IDEMPOTENCY_MS ago leaves a tombstone, so that its
-- id still runs only once.
--
-- KEYS  the shard's tag
-- ARGV  hub, the most jobs, state letters, how many of each state to keep, the age in ms beyond which none is kept
-- REPLY how many were forgotten
local MOST, KEEP, AGE_MS = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function bury(ref, fields)
  local job = cmsgpack.unpack(fields[3])
  local left = job.fa + IDEMPOTENCY_MS - now
  if left <= 0 then
    return
  end
  local sha = redis.sha1hex(fields[1] .. (fields[2] or ''))
  redis.call('SET', K.tomb .. ref, table.concat({ sha, job.st, digits(job.n), digits(job.ca) }, ' '), 'PX', left)
  redis.call('ZADD', K.tombs, now + left, ref)
end

local function bound_tombs()
  redis.call('ZREMRANGEBYSCORE', K.tombs, '-inf', now)
  local excess = redis.call('ZCARD', K.tombs) - IDEMPOTENCY_MAX
  if excess > 0 then
    local oldest = redis.call('ZPOPMIN', K.tombs, math.min(excess, 1000))
    for i = 1, #oldest, 2 do
      redis.call('DEL', K.tomb .. oldest[i])
    end
  end
end

local function forget(letter, ref)
  local key = K.job .. ref
  local fields = redis.call('HMGET', key, 'b', 'o', 'd')
  if fields[3] then
    bury(ref, fields)
  end
  redis.call('DEL', key, K.out .. ref)
  redis.call('ZREM', K.all, ref)
  redis.call('ZREM', K.done .. letter, ref)
end

local forgotten = 0
for letter in string.gmatch(ARGV[3], '.') do
  local excess = math.max(0, redis.call('ZCARD', K.done .. letter) - KEEP)
  local old = redis.call('ZCOUNT', K.done .. letter, '-inf', now - AGE_MS)
  local number = math.min(MOST - forgotten, math.max(excess, old))
  if number > 0 then
    for _, ref in ipairs(redis.call('ZRANGE', K.done .. letter, 0, number - 1)) do
      forget(letter, ref)
    end
    forgotten = forgotten + number
  end
end
if forgotten > 0 then
  bound_tombs()
end
return { forgotten, effects }
