#!lua flags=allow-oom
--- @include "lib/emit"
-- The machine's socket is gone; its leases run on. `connection` may be a hub id alone: every connection of that hub.
-- Slots that only waited for a word of the worker are free: it says what it holds when it registers. Of its workers those
-- with a live lease are listed as offline, the others no more. Another connection that has the machine by now stands, and
-- its records with it.
--
-- KEYS  the shard's tag
-- ARGV  hub, machine, connection, then pairs: worker, its record as an offline one (JSON)
-- REPLY {1 unless another connection has the machine, indexes of the slots with a live lease}
local key = K.machine .. ARGV[2]
local conn = redis.call('HGET', key, 'conn')
if conn and conn ~= ARGV[3] and string.match(conn, '^[^:]+') ~= ARGV[3] then
  return { { 0, {} }, effects_text() }
end
redis.call('HDEL', key, 'conn', 'at')
local record, held, leased = redis.call('HGETALL', key), {}, {}
for i = 1, #record, 2 do
  if string.match(record[i], '^s%d') then
    if string.match(record[i + 1], '^%S+ %S+$') then
      local index = string.sub(record[i], 2)
      held[#held + 1] = tonumber(index)
      leased[index] = true
    else
      redis.call('HDEL', key, record[i])
    end
  end
end
for i = 4, #ARGV, 2 do
  if leased[string.match(ARGV[i], '%d+$')] then
    redis.call('HSET', K.workers, ARGV[i], ARGV[i + 1])
  else
    redis.call('HDEL', K.workers, ARGV[i])
  end
end
return { { 1, held }, effects_text() }
