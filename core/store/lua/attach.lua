#!lua flags=allow-oom
--- @include "lib/emit"
-- Makes a connection its machine's again, without a word of the machine: Redis lost the fence or came back older, or
-- another hub took this one for dead. A newer registration elsewhere stands. No lease is touched: what the machine is
-- at, its heartbeats tell.
--
-- KEYS  the shard's tag
-- ARGV  hub, machine, connection, ms when that registered
-- REPLY {1 if it is the machine's connection now, slot fields, an operator's words on slots among them}
local key = K.machine .. ARGV[2]
local known = redis.call('HMGET', key, 'conn', 'at')
if known[1] and known[1] ~= ARGV[3] and tonumber(known[2] or 0) > tonumber(ARGV[4]) then
  return { { 0, {} }, effects_text() }
end
redis.call('HSET', key, 'conn', ARGV[3], 'at', ARGV[4])
local record, slots = redis.call('HGETALL', key), {}
for i = 1, #record, 2 do
  if string.match(record[i], '^[so]%d') then
    slots[#slots + 1] = record[i]
    slots[#slots + 1] = record[i + 1]
  end
end
return { { 1, slots }, effects_text() }
