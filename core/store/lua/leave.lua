#!lua flags=allow-oom
--- @include "lib/emit"
-- A hub stops: nothing of it stays.
--
-- KEYS  the shard's tag
-- ARGV  hub
-- REPLY nothing
redis.call('ZREM', K.hubs, ME)
redis.call('HDEL', K.hub_info, ME)
redis.call('SREM', K.monitors, ME)
return { {}, effects_text() }
