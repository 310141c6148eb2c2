#!lua flags=allow-oom
--- @include "lib/queue"
-- Tells which signatures the slots of a class can run. May be repeated; a class or signature may be new or known.
--
-- KEYS  the shard's tag
-- ARGV  hub, then pairs: class, signature ('' only makes the class known)
-- REPLY nothing
for i = 2, #ARGV, 2 do
  local class, signature = ARGV[i], ARGV[i + 1]
  redis.call('ZADD', K.classes, now, class)
  redis.call('HSETNX', K.seen, class, 0)
  if signature ~= '' and redis.call('SADD', K.fit .. class, signature) == 1 then
    local head = head_of(signature)
    if head[2] then
      redis.call('ZADD', K.heads .. class, head[2], signature)
    end
  end
end
return { { {} }, effects_text() }
