#!lua
--- @include "lib/queue"
-- Changes the priority of a job that has not ended; it keeps its time of arrival. Where it waits, its watchers hear of its
-- new place; since when it waits stays the same.
--
-- KEYS  the shard's tag
-- ARGV  hub, ref, priority
-- REPLY ok, ended or not_found
local ref, priority = ARGV[2], tonumber(ARGV[3])
local job = load_job(ref)
if not job then
  return { 'not_found', effects_text() }
elseif ENDED[job.st] then
  return { 'ended', effects_text() }
end
if job.sc ~= '' then
  job.sc = digits(job.sc + ((tonumber(job.pr) or 0) - priority) * AGING_US)
end
job.pr = priority ~= 0 and digits(priority) or ''
if job.ix == 'q' then
  redis.call('ZADD', K.queue .. job.sg, job.sc, ref)
  local place = redis.call('ZRANK', K.queue .. job.sg, ref) + 1
  if place == 1 then
    head_improved(job.sg)
  end
  emit(ref, job, 'job_queued', place, 'operator')
end
save_job(ref, job)
return finish_script('ok')
