#!lua flags=allow-oom
--- @include "lib/tombs"
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
  local streams = {}
  for i, ref in ipairs(refs) do
    streams[i] = K.out .. ref
  end
  redis.call('DEL', unpack(streams))
  for _, key in ipairs({ K.jobs, K.bodies, K.results, K.pasts }) do
    redis.call('HDEL', key, unpack(refs))
  end
  redis.call('ZREM', K.all, unpack(refs))
  redis.call('ZREMRANGEBYRANK', K.done .. letter, 0, number - 1)
end

-- Forgets the oldest that are over or too many. True if there may be more.
local function trim_tombs()
  local excess = redis.call('LLEN', K.tombs) - IDEMPOTENCY_MAX
  local oldest = redis.call('LINDEX', K.tombs, 0)
  if excess <= 0 and not (oldest and oldest < tombs_over) then
    return false
  end
  local entries = redis.call('LRANGE', K.tombs, 0, MOST_TOMBS - 1)
  local over = {}
  for i, entry in ipairs(entries) do
    if i > excess and entry >= tombs_over then
      break
    end
    over[i] = entry
  end
  forget_tombs(over)
  redis.call('LTRIM', K.tombs, #over, -1)
  return #over == MOST_TOMBS
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
local more = trim_tombs() or forgotten == MOST
return { { forgotten, more and 1 or 0 }, '' }
