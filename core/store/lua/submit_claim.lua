#!lua
--- @include "lib/submits"
--- @include "lib/claims"
-- Takes jobs into the queue while slots are idle, and gives these the most urgent ones: what both scripts do, for a sixth
-- less than one after the other.
--
-- KEYS  the shard's tag
-- ARGV  hub, number of jobs, then these as for submit.lua and the slots as for claim.lua
-- REPLY what submit.lua answers and what claim.lua answers, in one list
local slots = 3 + JOB_STRIDE * ARGV[2]
local answers, seq = submit(3, slots - 1)
return finish_script({ answers, seq, claim(slots) })
