-- Signatures: a waiting line for each distinct (job type, requirements). At most MAX_SIGNATURES are in use.

-- Is there a job of it that has not ended? One accepted by this very call is not in Redis's count yet.
local function in_use(signature)
  return (unfinished[signature] or 0) > 0 or redis.call('HEXISTS', K.unfinished, signature) == 1
end

-- Forgets the signatures no job has; called when room is needed, and now and then.
local function purge_signatures()
  local classes
  for _, signature in ipairs(redis.call('HKEYS', K.signatures)) do
    if not in_use(signature) then
      classes = classes or redis.call('ZRANGE', K.classes, 0, -1)
      redis.call('HDEL', K.signatures, signature)
      redis.call('ZREM', K.improved, signature)
      for _, class in ipairs(classes) do
        redis.call('SREM', K.fit .. class, signature)
        redis.call('ZREM', K.heads .. class, signature)
      end
    end
  end
end

local known = {}
-- Makes sure that Redis knows the signature; hubs hear of a new one and match it. False when there are too many.
local function know_signature(signature, definition)
  if known[signature] or redis.call('HEXISTS', K.signatures, signature) == 1 then
    known[signature] = true
    return true
  end
  if redis.call('HLEN', K.signatures) >= MAX_SIGNATURES then
    purge_signatures()
    if redis.call('HLEN', K.signatures) >= MAX_SIGNATURES then
      return false
    end
  end
  redis.call('HSET', K.signatures, signature, definition)
  effects[#effects + 1] = 'signature\n' .. signature
  fresh[signature] = true
  known[signature] = true
  return true
end
