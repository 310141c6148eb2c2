#!lua flags=no-writes
--- @include "lib/outline"
-- Jobs as they are at one moment: of the refs given as many of the first as one call should read, at least one.
--
-- KEYS  the shard's tag
-- ARGV  1 for all of them, 0 without params, result and past; then refs
-- REPLY for each {body, record, result, past} or, when not all is asked for, {body, record}; false if there is no such job
local full = ARGV[1] == '1'
local reply, bytes = {}, 0
for i = 2, #ARGV do
  local ref = ARGV[i]
  local body, record = redis.call('HGET', K.bodies, ref), redis.call('HGET', K.jobs, ref)
  bytes = bytes + (body and #body or 0)
  if not (body and record) then
    reply[i - 1] = false
  elseif full then
    local result, past = redis.call('HGET', K.results, ref), redis.call('HGET', K.pasts, ref)
    bytes = bytes + (result and #result or 0)
    reply[i - 1] = { body, record, result, past }
  else
    reply[i - 1] = { outline(body), record }
  end
  if bytes > CALL_BYTES then
    break
  end
end
return reply
