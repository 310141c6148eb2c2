--- @include "queue"
-- Leases and slots: how a lease ends, and what becomes of its job. Protocol section 5, rules 1 to 7.

local LEASE_EXPIRED = '{"code":"lease_expired","message":"the worker went silent and its lease ran out","retryable":true}'
local UNNAMED = '{"code":"lease_expired","message":"the machine registered again without the job","retryable":true}'
local POISON = '{"code":"poison","message":"it went down with several workers","retryable":false}'
local TIMEOUT = '{"code":"timeout","message":"the attempt took longer than run_timeout_ms","retryable":true}'
local SILENCE = '{"code":"progress_timeout","message":"nothing was heard of the job for progress_timeout_ms","retryable":true}'

-- The error of an attempt that was stopped.
local function error_of_stop(why)
  return why == 'timeout' and TIMEOUT or SILENCE
end

local function slot_of(worker)
  local machine, index = string.match(worker, '^(.*):gpu(%d+)$')
  return K.machine .. machine, 's' .. index
end

-- A slot's record is "lease ref" and, after the lease was lost while the worker may still work, a mark:
-- x it ran out (free again when a heartbeat no longer names it), t it was taken away (free at its terminal message).
local function mark_slot(ref, job, mark)
  local key, field = slot_of(job.lw)
  local lease = job.l
  local slot = redis.call('HMGET', key, field, 'conn')
  local held = slot[1]
  if not held or string.match(held, '^%S+') ~= lease then
    return
  elseif slot[2] then
    redis.call('HSET', key, field, lease .. ' ' .. ref .. ' ' .. mark)
    order_worker(ref, job, 'lost', mark)
  else
    -- Its machine is away, and will say what it still holds when it registers.
    redis.call('HDEL', key, field)
  end
end

-- True if the slot held this lease and is free now.
local function free_slot(worker, lease)
  local key, field = slot_of(worker)
  local held = redis.call('HGET', key, field)
  if held and string.match(held, '^%S+') == lease then
    redis.call('HDEL', key, field)
    return true
  end
  return false
end

-- The lease is over, for this reason; nothing may change the job with it any more.
local function end_lease(job, how)
  if job.l ~= '' and not job.lo then
    job.lo = how
    job.la = now
  end
  job.lx, job.sp, job.gr, job.nb = nil, nil, nil, nil
end

-- What is left of an ended job when it is trimmed, so that its id still runs only once for a while.
local function write_tomb(ref, job)
  if IDEMPOTENCY_MS > 0 then
    defer('HSET', K.tomb, ref, job.fp .. ' ' .. job.st .. ' ' .. job.n .. ' ' .. job.ca)
    defer('RPUSH', K.tombs, job.n .. ' ' .. ref)
  end
end

-- The job ends. `a`, `b`, `c`, `tail`: further fields of its event.
local function end_job(ref, job, letter, kind, a, b, c, tail)
  leave_index(ref, job)
  set_state(job, letter)
  job.ix = 'd'
  set_deadline(ref, job)
  emit(ref, job, kind, a, b, c, tail)
  defer('ZADD', K.done .. letter, ms_text(job.n), ref)
  -- Nobody hears of it any more.
  job.w = ''
  write_tomb(ref, job)
end

local function end_cancelled(ref, job, how)
  end_lease(job, how or 'cancelled')
  end_job(ref, job, 'x', 'job_cancelled', job.cw)
end

-- Nobody started it in time.
local function expire_job(ref, job)
  end_lease(job, 'undelivered')
  end_job(ref, job, 'e', 'job_expired')
end

local function end_failed(ref, job, err)
  job.er = err
  end_job(ref, job, 'f', 'job_failed', job.lw, err)
end

-- The attempt failed: back-off while attempts are left, else the job failed. The lease is over already.
-- `jitter` is a factor around 1 that the hub draws: Redis's own random numbers are the same in every script.
local function attempt_failed(ref, job, err, retryable, jitter)
  local at = tonumber(job.at)
  if not retryable or at >= (job.ma or MAX_ATTEMPTS) then
    return end_failed(ref, job, err)
  end
  job.er = err
  local wait = math.min(600000, (job.bo or BACKOFF_MS) * 2 ^ math.min(at - 1, 30)) * jitter
  local run_at = now + math.min(600000, math.floor(wait))
  schedule(ref, job, run_at)
  job.sn = emit(ref, job, 'job_retrying', run_at, job.ma or MAX_ATTEMPTS, err)
  if run_at <= now then
    enqueue(ref, job, 'retry')
  end
end

-- Back into the queue without counting the attempt: the worker did the job no harm.
local function give_back(ref, job, how)
  end_lease(job, how)
  job.at = digits(job.at - 1)
  enqueue(ref, job, how)
end

local function crashed_on(job, worker)
  local crashes = 0
  job.xn = nil
  for other in string.gmatch(job.xc or '', '%S+') do
    crashes = crashes + 1
    if other == worker then
      worker = nil
    end
  end
  if worker then
    job.xc = job.xc and job.xc .. ' ' .. worker or worker
    job.xn = '1'
    crashes = crashes + 1
  end
  return crashes
end

-- Did the worker show that it has the job?
local function has_sign(job)
  return job.si or job.tn ~= ''
end

-- The lease was lost without a word. `how`: lease_expired (it stays present until somebody else is assigned), or
-- unnamed (the machine registered without it: it is over).
local function lose_lease(ref, job, how)
  local stopped = job.sp
  local undelivered = not has_sign(job)
  if how == 'unnamed' or job.cr or stopped then
    end_lease(job, undelivered and 'undelivered' or 'lease_expired')
  end
  if job.cr then
    return end_cancelled(ref, job)
  elseif stopped then
    return attempt_failed(ref, job, error_of_stop(stopped), true, 1)
  elseif undelivered then
    job.lx = not job.lo and 'u' or nil
    job.at = digits(job.at - 1)
    return enqueue(ref, job, 'undelivered')
  end
  local err = how == 'unnamed' and UNNAMED or LEASE_EXPIRED
  local crashes = crashed_on(job, job.lw)
  if crashes >= POISON_AFTER then
    end_lease(job, 'lease_expired')
    return end_failed(ref, job, POISON)
  elseif tonumber(job.at) >= (job.ma or MAX_ATTEMPTS) then
    end_lease(job, 'lease_expired')
    return end_failed(ref, job, err)
  end
  job.lx = not job.lo and 'c' or nil
  job.er = err
  enqueue(ref, job, 'lease_expired')
end

-- Has the worker's slot got another job since the lease ran out?
local function slot_taken(job)
  local key, field = slot_of(job.lw)
  local held = redis.call('HGET', key, field)
  return held and string.match(held, '^%S+') ~= job.l
end

-- A lease that ran out is heard of again before somebody else was assigned: nothing was counted.
local function take_back(ref, job)
  leave_index(ref, job)
  if job.lx == 'c' then
    if job.xn then
      job.xc = string.match(job.xc, '^(.*) %S+$')
    end
    job.er = nil
  end
  job.lx = nil
  job.at = string.match(job.l, '^%d+')
  job.ix = 'l'
  redis.call('ZADD', K.leases, now + LEASE_MS, ref)
  if not slot_taken(job) then
    local key, field = slot_of(job.lw)
    redis.call('HSET', key, field, job.l .. ' ' .. ref)
  end
  -- The event is told again; the times stay.
  if job.tn ~= '' then
    job.ta = job.ta or ms_of(job.tn)
    set_state(job, 'p')
    job.tn = emit(ref, job, 'job_started', job.lw)
  else
    job.aa = assigned_at(job)
    set_state(job, 'a')
    job.an = emit(ref, job, 'job_assigned', job.lw)
  end
  set_deadline(ref, job)
end

-- May the worker go on under this lease? One slot, one job: not if it ran out and the slot has another job by now.
local function may_hold(ref, job, lease)
  if not is_present(job, lease) then
    return false
  elseif job.lx and slot_taken(job) then
    end_lease(job, job.lx == 'u' and 'undelivered' or 'lease_expired')
    save_job(ref, job)
    return false
  end
  return true
end

-- The worker names the lease: true if anything of the record changed.
local function hold_lease(ref, job)
  local changed = not has_sign(job)
  if changed then
    job.si = '1'
  end
  if job.lx then
    take_back(ref, job)
    changed = true
  end
  return changed
end

-- The worker is at work: true if that is new.
local function start_job(ref, job)
  local back = job.lx ~= nil
  if back then
    take_back(ref, job)
  end
  if job.st ~= 'a' then
    return back
  end
  set_state(job, 'p')
  job.tn = emit(ref, job, 'job_started', job.lw)
  if job.more then
    -- A start is a sign of its own.
    job.si = nil
  end
  return true
end
