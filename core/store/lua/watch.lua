#!lua flags=allow-oom
--- @include "lib/emit"
-- From now on the hub hears of these jobs; the records are as they were when it began to listen.
--
-- KEYS  the shard's tag
-- ARGV  hub, level, then refs
-- REPLY for each ref {b, o, d, r, e, h}, or false
local level = tonumber(ARGV[2])
local reply = {}
for i = 3, #ARGV do
  local ref = ARGV[i]
  local fields = redis.call('HMGET', K.job .. ref, 'b', 'o', 'd', 'r', 'e', 'h')
  reply[#reply + 1] = fields[3] and fields
  if fields[3] then
    local job = cmsgpack.unpack(fields[3])
    local before = job.w
    add_watch(job, ME, level)
    if job.w ~= before and not ENDED[job.st] then
      save_job(ref, job)
    end
  end
end
return { reply, effects }
