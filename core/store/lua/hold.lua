#!lua flags=allow-oom
--- @include "lib/emit"
-- Redis is another process now: its leases get one more lease before the reaper acts, as machines had no way to renew
-- or to report.
--
-- KEYS  the shard's tag
-- ARGV  hub
-- REPLY nothing
redis.call('HSET', K.reaper, 'until', now + LEASE_MS, 'stops', now + LEASE_MS)
return { {}, effects_text() }
