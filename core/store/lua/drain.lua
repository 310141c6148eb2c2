#!lua flags=allow-oom
--- @include "lib/emit"
-- An operator's word on a worker: no new job until it is taken back. Kept by worker id, whether it is connected or not.
--
-- KEYS  the shard's tag
-- ARGV  hub, why (JSON) or '' to resume, then worker ids
-- REPLY nothing; the hub that has the machine hears of it
local why = ARGV[2]
for i = 3, #ARGV do
  local machine, index = string.match(ARGV[i], '^(.*):gpu(%d+)$')
  local key = K.machine .. machine
  if why ~= '' then
    redis.call('HSET', key, 'o' .. index, why)
  else
    redis.call('HDEL', key, 'o' .. index)
  end
  local conn = redis.call('HGET', key, 'conn')
  if conn then
    send(string.match(conn, '^[^:]+'), table.concat({ 'drain', ARGV[i], why }, '\n'))
  end
end
return { {}, effects }
