#!lua
--- @include "lib/claims"
-- Gives jobs to idle slots.
--
-- KEYS  the shard's tag
-- ARGV  hub, then for each slot: machine, connection, slot index, class, random part of the lease
-- REPLY {for each slot a line, or a list of lines and {line, body the hub does not keep}, {class, how many jobs may be
--       left, …}}, lines:
--       `job REF LEASE SIGNATURE`, `held REF LEASE SIGNATURE`, `stuck REF LEASE` (its lease was lost, the worker has not
--       said so), none, fenced, drained, class (not known). {} and why if a record could not be read
return finish_script({ claim(2) })
