#!lua flags=allow-oom
--- @include "lib/finishes"
-- The ends of jobs.
--
-- KEYS  the shard's tag
-- ARGV  hub, jitter of back-offs (around 1), then for each end what lib/finishes.lua says
-- REPLY {for each a line: the worker whose slot got free or -, then ok or why it is refused; of a completed job also ms
--       of when it could have begun, and of when it was assigned; ms of the time}
return finish_script({ finish(3, #ARGV) })
