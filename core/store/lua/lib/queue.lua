--- @include "emit"
--- @include "heads"
-- Moving jobs between indexes. A job lies in exactly one, and `ix` says which.

local function leave_index(ref, job)
  if job.ix == 'q' then
    redis.call('ZREM', K.queue .. job.sg, ref)
  elseif job.ix == 's' then
    redis.call('ZREM', K.scheduled, ref)
  elseif job.ix == 'l' then
    defer('ZREM', K.leases, ref)
  end
  job.ix = ''
end

-- The next moment at which the job itself asks for attention, or nil.
local function next_deadline(job)
  local at
  local function by(time)
    if not at or time < at then
      at = time
    end
  end
  if job.gr then
    by(job.gr)
  elseif job.ix == 'l' then
    if job.ro then by(assigned_at(job) + job.ro) end
    if job.po then by((job.ac or assigned_at(job)) + job.po) end
  elseif job.so and job.at == '0' then
    by(math.max(tonumber(job.ca), job.ra or 0) + job.so)
  end
  if at and job.ix == 'l' and job.nb then
    at = math.max(at, job.nb)
  end
  return at
end

local function set_deadline(ref, job)
  if not (job.so or job.ro or job.po or job.gr or job.dl) then
    return
  end
  local at = not ENDED[job.st] and next_deadline(job)
  if at then
    redis.call('ZADD', K.deadlines, at, ref)
    job.dl = '1'
  elseif job.dl then
    redis.call('ZREM', K.deadlines, ref)
    job.dl = nil
  end
end

-- How urgent a job is that arrived then: lower is sooner. A level of priority is worth AGING_US of waiting.
local function score_of(job, arrival)
  return digits(job.pr == '' and arrival or arrival - tonumber(job.pr) * AGING_US)
end

local woken = {}
-- Whoever has idle slots hears once a call that a queue got work. The hub that submits claims by itself.
local function wake(signature, reason)
  if reason ~= '' and woken[signature] ~= 'told' then
    woken[signature] = 'told'
    effects[#effects + 1] = 'wake\n' .. signature
  else
    woken[signature] = woken[signature] or 'new'
  end
end

-- Puts a job into its queue, at its own place if it had one before. Every hub that may have an idle slot hears of it.
-- `reason`: '' if it is new. `place` if the caller puts it there and knows where that is.
local function enqueue(ref, job, reason, place)
  leave_index(ref, job)
  set_state(job, 'q')
  job.ix = 'q'
  job.qr = reason
  if job.sc == '' then
    job.sc = score_of(job, next_arrival())
  end
  if not place then
    redis.call('ZADD', K.queue .. job.sg, job.sc, ref)
    place = redis.call('ZRANK', K.queue .. job.sg, ref) + 1
  end
  if place == 1 then
    head_improved(job.sg)
  end
  set_deadline(ref, job)
  job.qn = emit(ref, job, 'job_queued', place, reason ~= '' and reason or 'submitted')
  wake(job.sg, reason)
  return place
end

-- Makes the job wait until a time. Tells nothing: the caller knows why.
local function schedule(ref, job, at)
  leave_index(ref, job)
  set_state(job, 's')
  job.ix = 's'
  job.ra = at
  redis.call('ZADD', K.scheduled, at, ref)
  set_deadline(ref, job)
  effects[#effects + 1] = 'due\n' .. digits(at)
end

-- Signatures that Redis had not known before this call. Hubs may know one from before it was forgotten here, and then
-- believe that their classes are matched with it.
local fresh = {}

-- Hubs with idle slots hear of queues that got a job, and of every fresh signature, which they match (again); the one that
-- runs the script hears by its effects. Hubs of before read the first two words alone.
local function wake_others()
  for signature in pairs(woken) do
    if not fresh[signature] then
      redis.call('PUBLISH', K.wake, ME .. ' ' .. signature)
    end
  end
  for signature in pairs(fresh) do
    redis.call('PUBLISH', K.wake, ME .. ' ' .. signature .. ' new')
  end
end

-- The end of every script that changes jobs.
local function finish_script(reply)
  write_jobs()
  write_deferred()
  save_clock()
  save_counts()
  tell_others()
  -- An application may submit without a hub of its own; a lone hub has nobody else to wake.
  if (next(woken) or next(fresh)) and (string.sub(ME, 1, 2) ~= 'h_' or redis.call('ZCARD', K.hubs) > 1) then
    wake_others()
  end
  return { reply, effects_text() }
end
