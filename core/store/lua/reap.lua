#!lua flags=allow-oom
--- @include "lib/lease"
-- What time does by itself: leases run out, deadlines pass, delayed jobs are due. Any hub may run it at any time.
-- After a time without a reaper (all hubs or Redis were away, or the clock jumped) leases get one lease more first, and
-- their deadlines as well: an outage is not a mass expiry, and whoever was at work must have a chance to say so. Leases
-- are renewed well before they run out and bear a short absence; a deadline may fall into the shortest.
--
-- KEYS  the shard's tag
-- ARGV  hub, jitter of back-offs, the most jobs of each kind
-- REPLY {1 if there is more to do, ms when the next delayed job is due or 0, leases that ran out, refs of jobs that ended}
local JITTER, MOST = tonumber(ARGV[2]), tonumber(ARGV[3])
-- A busy hub looks so much later than it should, and is not away.
local LATE = 2000

local last = redis.call('HMGET', K.reaper, 'at', 'until', 'stops')
local looked = tonumber(last[1] or now)

-- Until when nothing is judged of what this field stands for, as the reaper was away for longer than `absence`; 0 if it
-- was not lately.
local function still_until(absence, field, known)
  local hold = tonumber(known or 0)
  if now < looked or now - looked > absence then
    hold = now + LEASE_MS
    redis.call('HSET', K.reaper, field, hold)
  end
  -- The clock went back since.
  return hold <= now + LEASE_MS and hold or 0
end

local leases_still = still_until(LEASE_MS / 2, 'until', last[2])
local stops_still = still_until(math.min(LEASE_MS / 2, REAP_INTERVAL_MS + LATE), 'stops', last[3])
redis.call('HSET', K.reaper, 'at', now)

local function due_of(key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, MOST)
end

local expired = 0
local function expire(ref, job)
  expired = expired + 1
  mark_slot(ref, job, 'x')
  lose_lease(ref, job, 'lease_expired')
end

-- The worker had its grace: the lease is taken away, and the slot gets nothing until the worker speaks of it.
local function end_grace(ref, job)
  mark_slot(ref, job, 't')
  if job.cr then
    return end_cancelled(ref, job)
  end
  local stopped = job.sp
  end_lease(job, stopped)
  attempt_failed(ref, job, error_of_stop(stopped), true, JITTER)
end

local function stop(ref, job)
  job.sp = job.ro and assigned_at(job) + job.ro <= now and 'timeout' or 'progress_timeout'
  job.gr = now + CANCEL_GRACE_MS
  order_worker(ref, job, 'cancel', job.sp, CANCEL_GRACE_MS)
  set_deadline(ref, job)
end

local function deadline(ref, job)
  local at = next_deadline(job)
  if not at or at > now then
    set_deadline(ref, job)
  elseif job.ix ~= 'l' then
    expire_job(ref, job)
  elseif now < stops_still then
    job.nb = stops_still
    set_deadline(ref, job)
  elseif job.gr then
    end_grace(ref, job)
  else
    stop(ref, job)
  end
end

local function due(ref, job)
  enqueue(ref, job, job.at ~= '0' and 'retry' or 'due')
end

local more = 0
local ended = {}
local function each(key, act)
  local refs = due_of(key)
  prefetch(refs)
  for _, ref in ipairs(refs) do
    local job = load_job(ref)
    if job and not ENDED[job.st] then
      act(ref, job)
      save_job(ref, job)
      if ENDED[job.st] then
        ended[#ended + 1] = ref
      end
    else
      redis.call('ZREM', key, ref)
    end
  end
  if #refs == MOST then
    more = 1
  end
end

if now >= leases_still then
  each(K.leases, expire)
end
each(K.deadlines, deadline)
each(K.scheduled, due)
local first = redis.call('ZRANGE', K.scheduled, 0, 0, 'WITHSCORES')
return finish_script({ more, tonumber(first[2] or 0), expired, ended })
