#!lua flags=allow-oom
--- @include "lib/emit"
-- A hub says that it lives and which classes of slots it speaks for, and finds hubs that no longer do.
--
-- KEYS  the shard's tag
-- ARGV  hub, its info (JSON), 1 if it has a monitor, ms after which a silent hub is dead, then classes
-- REPLY {now, dead hubs, {hub, info, …} of the living, 1 if this hub was not among them before, 1 if Redis holds the
--       layout that the first hub wrote, the last arrival number}
local HOUR_MS = 3600000
local new = redis.call('ZADD', K.hubs, now, ME)
redis.call('HSET', K.hub_info, ME, ARGV[2])
redis.call(ARGV[3] == '1' and 'SADD' or 'SREM', K.monitors, ME)

local dead = redis.call('ZRANGEBYSCORE', K.hubs, '-inf', '(' .. (now - tonumber(ARGV[4])))
for _, hub in ipairs(dead) do
  redis.call('ZREM', K.hubs, hub)
  redis.call('HDEL', K.hub_info, hub)
  redis.call('SREM', K.monitors, hub)
end

for i = 5, #ARGV do
  if redis.call('HEXISTS', K.seen, ARGV[i]) == 1 then
    redis.call('ZADD', K.classes, now, ARGV[i])
  end
end
for _, class in ipairs(redis.call('ZRANGEBYSCORE', K.classes, '-inf', now - HOUR_MS, 'LIMIT', 0, 20)) do
  redis.call('ZREM', K.classes, class)
  redis.call('HDEL', K.seen, class)
  redis.call('DEL', K.fit .. class, K.heads .. class)
end
return {
  {
    now,
    dead,
    redis.call('HGETALL', K.hub_info),
    new,
    redis.call('EXISTS', K.layout),
    redis.call('GET', K.clock) or '0',
  },
  effects_text(),
}
