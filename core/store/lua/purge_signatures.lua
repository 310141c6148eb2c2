#!lua flags=allow-oom
--- @include "lib/queue"
--- @include "lib/signatures"
-- Forgets signatures that no unfinished job has.
--
-- KEYS  the shard's tag
-- ARGV  hub
-- REPLY how many are left
purge_signatures()
return { redis.call('HLEN', K.signatures), effects_text() }
