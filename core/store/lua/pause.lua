#!lua
--- @include "lib/queue"
-- Pauses or resumes the jobs of a type, or of all (`*`). A paused job is not claimed; running ones go on.
--
-- KEYS  the shard's tag
-- ARGV  hub, job type or *, why (JSON) or '' to resume
-- REPLY 1 if anything changed
local job_type, why = ARGV[2], ARGV[3]
if why ~= '' then
  return { redis.call('HSET', K.paused, job_type, why), effects_text() }
end
local changed = redis.call('HDEL', K.paused, job_type)
if changed == 1 then
  local definitions = redis.call('HGETALL', K.signatures)
  for i = 1, #definitions, 2 do
    local signature = definitions[i]
    local of = string.match(definitions[i + 1], '^%["([^"]*)"')
    if (job_type == '*' or of == job_type) and redis.call('EXISTS', K.queue .. signature) == 1 then
      head_improved(signature)
      wake(signature)
    end
  end
end
return finish_script(changed)
