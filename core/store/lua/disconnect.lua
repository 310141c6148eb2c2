#!lua flags=allow-oom
--- @include "lib/emit"
-- The machine's socket is gone; its leases run on. `connection` may be a hub id alone: every connection of that hub.
-- Slots that only waited for a word of the worker are free: it says what it holds when it registers.
--
-- KEYS  the shard's tag
-- ARGV  hub, machine, connection
-- REPLY {1 if it was the present connection, indexes of the slots with a live lease}
local key = K.machine .. ARGV[2]
local conn = redis.call('HGET', key, 'conn')
if not conn or (conn ~= ARGV[3] and string.match(conn, '^[^:]+') ~= ARGV[3]) then
  return { { 0, {} }, effects_text() }
end
redis.call('HDEL', key, 'conn', 'at')
local record, held = redis.call('HGETALL', key), {}
for i = 1, #record, 2 do
  if string.match(record[i], '^s%d') then
    if string.match(record[i + 1], '^%S+ %S+$') then
      held[#held + 1] = tonumber(string.sub(record[i], 2))
    else
      redis.call('HDEL', key, record[i])
    end
  end
end
return { { 1, held }, effects_text() }
