#!lua flags=allow-oom
--- @include "lib/queue"
--- @include "lib/outline"
-- From now on the hub hears of these jobs; the records are as they were when it began to listen. Of the refs given as many
-- of the first as one call should read, at least one.
--
-- KEYS  the shard's tag
-- ARGV  hub, level, then refs
-- REPLY for each {body without params, record, result, past where a replay may need it}, or false
local level = tonumber(ARGV[2])
local reply, bytes = {}, 0
for i = 3, #ARGV do
  local ref = ARGV[i]
  local body, record = redis.call('HGET', K.bodies, ref), redis.call('HGET', K.jobs, ref)
  local job = load_job(ref)
  local result = job and job.st == 'c' and redis.call('HGET', K.results, ref)
  local past = job and job.sn and redis.call('HGET', K.pasts, ref)
  bytes = bytes + (body and #body or 0) + (result and #result or 0)
  reply[i - 2] = body and record and { outline(body), record, result or false, past or false }
  if job and not ENDED[job.st] then
    local before = job.w
    add_watch(job, ME, level)
    if job.w ~= before then
      save_job(ref, job)
    end
  end
  if bytes > CALL_BYTES then
    break
  end
end
return finish_script(reply)
