#!lua flags=allow-oom
--- @include "lib/emit"
-- An operator's word on a worker: no new job until it is taken back. Kept by worker id, whether it is connected or not.
--
-- KEYS  the shard's tag
-- ARGV  hub, why (JSON) or '' to resume, then worker ids
-- REPLY nothing; the hub that has the machine hears of it
local why = ARGV[2]
local told = {}
for i = 3, #ARGV do
  local machine, index = string.match(ARGV[i], '^(.*):gpu(%d+)$')
  local key = K.machine .. machine
  if why ~= '' then
    redis.call('HSET', key, 'o' .. index, why)
  else
    redis.call('HDEL', key, 'o' .. index)
  end
  told[machine] = (told[machine] and told[machine] .. ' ' or '') .. ARGV[i]
end
for machine, workers in pairs(told) do
  local conn = redis.call('HGET', K.machine .. machine, 'conn')
  if conn then
    send(string.match(conn, '^[^:]+'), table.concat({ 'drain', workers, why }, '\n'))
  end
end
tell_others()
return { {}, effects_text() }
