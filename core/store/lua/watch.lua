#!lua flags=allow-oom
--- @include "lib/queue"
-- From now on the hub hears of these jobs; the records are as they were when it began to listen.
--
-- KEYS  the shard's tag
-- ARGV  hub, level, then refs
-- REPLY for each ref {body, record, result, past}, or false
local level = tonumber(ARGV[2])
local reply = {}
for i = 3, #ARGV do
  local ref = ARGV[i]
  local record = redis.call('HGET', K.jobs, ref)
  reply[i - 2] = record
    and { redis.call('HGET', K.bodies, ref), record, redis.call('HGET', K.results, ref), redis.call('HGET', K.pasts, ref) }
  local job = load_job(ref)
  if job and not ENDED[job.st] then
    local before = job.w
    add_watch(job, ME, level)
    if job.w ~= before then
      save_job(ref, job)
    end
  end
end
return finish_script(reply)
