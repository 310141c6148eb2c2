#!lua flags=allow-oom
--- @include "lib/queue"
-- Forgets ended jobs beyond retention. A job that ended less than IDEMPOTENCY_MS ago leaves a tombstone, so that its
-- id still runs only once.
--
-- KEYS  the shard's tag
-- ARGV  hub, the most jobs, state letters, how many of each state to keep, the age in ms beyond which none is kept
-- REPLY how many were forgotten
local MOST, KEEP, AGE_MS = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function bury(ref, job)
  local left = job.fa + IDEMPOTENCY_MS - now
  if left > 0 then
    redis.call('SET', K.tomb .. ref, table.concat({ job.fp, job.st, digits(job.n), digits(job.ca) }, ' '), 'PX', left)
    defer('ZADD', K.tombs, now + left, ref)
  end
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

-- Forgets the oldest of one state.
local function forget(letter, number)
  local refs = redis.call('ZRANGE', K.done .. letter, 0, number - 1)
  local keys = {}
  for _, ref in ipairs(refs) do
    local key = K.job .. ref
    local job = load_job(ref)
    keys[#keys + 1] = key
    if job then
      bury(ref, job)
      if job.oi then
        keys[#keys + 1] = K.out .. ref
      end
    end
  end
  redis.call('DEL', unpack(keys))
  redis.call('ZREM', K.all, unpack(refs))
  redis.call('ZREMRANGEBYRANK', K.done .. letter, 0, number - 1)
end

local forgotten = 0
for letter in string.gmatch(ARGV[3], '.') do
  local excess = math.max(0, redis.call('ZCARD', K.done .. letter) - KEEP)
  local old = redis.call('ZCOUNT', K.done .. letter, '-inf', now - AGE_MS)
  local number = math.min(MOST - forgotten, math.max(excess, old))
  if number > 0 then
    forget(letter, number)
    forgotten = forgotten + number
  end
end
write_deferred()
if forgotten > 0 then
  bound_tombs()
end
return { forgotten, effects }
