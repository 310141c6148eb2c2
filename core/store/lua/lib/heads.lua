--- @include "clock"
-- Which waiting job is the most urgent that a class of equal slots can run?
--
-- Each class keeps a ZSET of signatures by a score that the head of their queue cannot be below. Taking a head
-- only raises that score, so nobody else need be told; whoever looks next corrects what it finds. A head that
-- becomes more urgent is noted once, in `improved`, and each class reads on there before it looks. So a submit
-- costs the same with one class and with thousands, a claim the same with one fitting signature and with a
-- thousand, and queues nobody here can run are never looked at.

-- The queue of this signature stopped being empty, or got a more urgent head.
local function head_improved(signature)
  redis.call('ZADD', K.improved, digits(next_arrival()), signature)
end

local function head_of(signature)
  return redis.call('ZRANGE', K.queue .. signature, 0, 0, 'WITHSCORES')
end

-- Reads what improved since the class last looked. False if Redis does not know the class (any more).
local function catch_up(class)
  local seen = redis.call('HGET', K.seen, class)
  if not seen then
    return false
  end
  local news = redis.call('ZRANGEBYSCORE', K.improved, '(' .. seen, '+inf', 'WITHSCORES')
  for i = 1, #news, 2 do
    if redis.call('SISMEMBER', K.fit .. class, news[i]) == 1 then
      local head = head_of(news[i])
      if head[2] then
        redis.call('ZADD', K.heads .. class, head[2], news[i])
      end
    end
  end
  if #news > 0 then
    redis.call('HSET', K.seen, class, news[#news])
  end
  return true
end

local function is_paused(signature)
  if redis.call('EXISTS', K.paused) == 0 then
    return false
  end
  if redis.call('HEXISTS', K.paused, '*') == 1 then
    return true
  end
  local definition = redis.call('HGET', K.signatures, signature)
  return definition and redis.call('HEXISTS', K.paused, string.match(definition, '^%["([^"]*)"')) == 1
end

-- The most urgent waiting job of a class: ref and signature, or nil. Call catch_up first.
local function best_head(class)
  while true do
    local top = redis.call('ZRANGE', K.heads .. class, 0, 0, 'WITHSCORES')
    local signature = top[1]
    if not signature then
      return nil
    end
    local head = head_of(signature)
    if not head[1] or is_paused(signature) then
      redis.call('ZREM', K.heads .. class, signature)
    elseif tonumber(head[2]) > tonumber(top[2]) then
      redis.call('ZADD', K.heads .. class, head[2], signature)
    else
      return head[1], signature
    end
  end
end
