#!lua flags=allow-oom
--- @include "lib/claims"
-- Gives jobs to idle slots.
--
-- KEYS  the shard's tag
-- ARGV  hub, then for each slot: machine, connection, slot index, class, random part of the lease
-- REPLY {for each slot a text, or that and the body the hub does not keep, {class, how many jobs may be left, …}}, texts:
--       `job REF LEASE SIGNATURE`, `held REF LEASE SIGNATURE`, `stuck REF LEASE` (its lease was lost, the worker has not
--       said so), none, fenced, drained, class (not known)
return finish_script({ claim(2) })
