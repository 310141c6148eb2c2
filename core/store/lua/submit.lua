#!lua
--- @include "lib/submits"
-- Takes jobs into the queue.
--
-- KEYS  the shard's tag
-- ARGV  hub, then for each job what lib/submits.lua says
-- REPLY {for each job its position if it is new and queued (lines if all are), else {outcome, state letter, seq, position or 0, created_at},
--       or {differs, body} with what is stored when that is another text; the seq of those that are new}, outcome: new,
--       duplicate, conflict, full
return finish_script({ submit(2, #ARGV) })
