#!lua
--- @include "lib/finishes"
--- @include "lib/claims"
-- Ends jobs and gives the slots that got free their next ones: what both scripts do, for less than one after the other. A
-- full Redis refuses it as it refuses claims: then the ends go by themselves.
--
-- KEYS  the shard's tag
-- ARGV  hub, jitter of back-offs, number of ends, then these as for finish.lua and the slots as for claim.lua
-- REPLY what finish.lua answers and what claim.lua answers, in one list
local slots = 4 + END_STRIDE * ARGV[3]
local answers, at = finish(4, slots - 1)
return finish_script({ answers, at, claim(slots) })
