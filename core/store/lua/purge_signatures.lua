#!lua flags=allow-oom
--- @include "lib/queue"
--- @include "lib/signatures"
-- Forgets signatures nobody waits in.
--
-- KEYS  the shard's tag
-- ARGV  hub
-- REPLY how many are left
purge_signatures()
return { redis.call('HLEN', K.signatures), effects }
