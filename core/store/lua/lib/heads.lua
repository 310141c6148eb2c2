--- @include "clock"
--- @include "job"
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

local any_paused
local function is_paused(signature)
  any_paused = any_paused or redis.call('EXISTS', K.paused)
  if any_paused == 0 then
    return false
  end
  if redis.call('HEXISTS', K.paused, '*') == 1 then
    return true
  end
  local definition = redis.call('HGET', K.signatures, signature)
  return definition and redis.call('HEXISTS', K.paused, string.match(definition, '^%["([^"]*)"')) == 1
end

-- By class: the signature at the top, and the score from which on another one may be more urgent.
local top_of, bound_of = {}, {}

local function read_top(class)
  local top = redis.call('ZRANGE', K.heads .. class, 0, 1, 'WITHSCORES')
  top_of[class] = top[1]
  bound_of[class] = top[4] or '+inf'
end

-- The queue of the top is paused, empty, or not the most urgent after all.
local function correct_top(class, signature)
  local head = not is_paused(signature) and head_of(signature) or {}
  if head[2] then
    redis.call('ZADD', K.heads .. class, head[2], signature)
  else
    redis.call('ZREM', K.heads .. class, signature)
  end
  top_of[class] = nil
end

-- Takes the most urgent waiting jobs of a class out of their queue: some, at most so many, and their signature; no
-- signature when nobody waits. Call catch_up first.
local function take_heads(class, most)
  while true do
    if not top_of[class] then
      read_top(class)
    end
    local signature = top_of[class]
    if not signature then
      return {}
    end
    local queue = K.queue .. signature
    local refs = is_paused(signature) and {}
      or redis.call('ZRANGE', queue, '-inf', bound_of[class], 'BYSCORE', 'LIMIT', 0, most)
    if #refs > 0 then
      -- A record that cannot be read ends the script before anything is taken.
      prefetch(refs)
      for _, ref in ipairs(refs) do
        load_job(ref)
      end
      redis.call('ZREMRANGEBYRANK', queue, 0, #refs - 1)
      return refs, signature
    end
    correct_top(class, signature)
  end
end
