#!lua flags=allow-oom
--- @include "lib/time"
-- Forgets ended jobs beyond retention, and tombstones that are over or beyond IDEMPOTENCY_MAX. Jobs are forgotten unread:
-- their tombstones were written when they ended.
--
-- KEYS  the shard's tag
-- ARGV  hub, the most jobs, state letters, how many of each state to keep, the age in ms beyond which none is kept
-- REPLY {jobs forgotten, 1 if there may be more to do}
local MOST, KEEP, AGE_MS = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
local MOST_TOMBS = 20 * MOST

-- Forgets the oldest of one state.
local function forget(letter, number)
  local refs = redis.call('ZRANGE', K.done .. letter, 0, number - 1)
  local keys = {}
  for i, ref in ipairs(refs) do
    keys[2 * i - 1] = K.job .. ref
    keys[2 * i] = K.out .. ref
  end
  redis.call('DEL', unpack(keys))
  redis.call('ZREM', K.all, unpack(refs))
  redis.call('ZREMRANGEBYRANK', K.done .. letter, 0, number - 1)
end

local function forget_tombs()
  local excess = redis.call('ZCARD', K.tombs) - IDEMPOTENCY_MAX
  local over = redis.call('ZCOUNT', K.tombs, '-inf', now_text)
  local number = math.min(MOST_TOMBS, math.max(excess, over))
  if number > 0 then
    local refs = redis.call('ZRANGE', K.tombs, 0, number - 1)
    redis.call('HDEL', K.tomb, unpack(refs))
    redis.call('ZREMRANGEBYRANK', K.tombs, 0, number - 1)
  end
  return number == MOST_TOMBS
end

local forgotten = 0
for letter in string.gmatch(ARGV[3], '.') do
  local excess = redis.call('ZCARD', K.done .. letter) - KEEP
  local old = redis.call('ZCOUNT', K.done .. letter, '-inf', digits(now - AGE_MS))
  local number = math.min(MOST - forgotten, math.max(excess, old))
  if number > 0 then
    forget(letter, number)
    forgotten = forgotten + number
  end
end
local more = forget_tombs() or forgotten == MOST
return { { forgotten, more and 1 or 0 }, {} }
