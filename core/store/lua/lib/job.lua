--- @include "time"
--- @include "later"
-- The record of a job is one HASH:
--   b  JSON members that a worker is sent: job_type, params, max_attempts, run_timeout_ms, metadata
--   o  the other members of the submission, absent when all are defaults; `b` and `o` are its content
--   d  what scripts read and change, packed (fields below)
--   r  result, JSON        e  last error, JSON        h  ended leases before the present one, packed list
-- b, o, r and e are opaque: cjson would turn [] into {} and round large integers.
--
-- Fields of d; absent means null, zero or the default:
--   st state letter   ix index it lies in: q queue, s scheduled, l leases, d done   n seq   w watching hubs
--   fp fingerprint of the content   ty job type   sg signature   pr priority   sc score   ci client_id   rf retry_of
--   hb the hub that keeps the body since it accepted the job, until the first claim
--   ma max_attempts   bo backoff_ms   so ro po start, run and progress timeout in ms
--   ca created_at   ra run_at   fa finished_at   cr cancel_requested_at   cw why it was cancelled
--   qa qn qr when, with which seq and why it was last queued   sn seq of the last job_scheduled or job_retrying
--   at attempts counted   aa an assigned   ta tn started   cn seq of job_cancelling
--   l lease   lw its worker   lx ran out but still present: u undelivered, c crash
--   lo how the lease ended, absent while it is present   la when   tt terminal message accepted with it
--   lc 1: a terminal message of this lease was refused with conflict
--   si 1: the worker showed a sign of the lease   sp why it is being stopped: timeout, progress_timeout
--   gr when the grace of a stop ends   ac last activity (progress timeouts only)
--   er 1: there is an error   xc workers it crashed on   xn 1: the last crash was its worker's first
--   pg pm pt progress, its message, when written   oi ob next output, bytes kept
local STATES = { s = 'scheduled', q = 'queued', a = 'assigned', p = 'processing',
                 c = 'completed', f = 'failed', x = 'cancelled', e = 'expired' }
local ENDED = { c = true, f = true, x = true, e = true }
local MAX_ATTEMPTS = 3
local BACKOFF_MS = 1000
local HISTORY_MAX = 20

local function load_job(ref)
  local packed = redis.call('HGET', K.job .. ref, 'd')
  return packed and cmsgpack.unpack(packed)
end

local function save_job(ref, job, field, value)
  if field then
    redis.call('HSET', K.job .. ref, 'd', cmsgpack.pack(job), field, value)
  else
    redis.call('HSET', K.job .. ref, 'd', cmsgpack.pack(job))
  end
end

-- `er` says whether there is an error, so that nobody has to look.
local function set_error(ref, job, err)
  redis.call('HSET', K.job .. ref, 'e', err)
  job.er = 1
end

local function clear_error(ref, job)
  if job.er then
    redis.call('HDEL', K.job .. ref, 'e')
    job.er = nil
  end
end

-- Seq grows with each state change and is never reused, also when Redis comes back older.
local function next_seq(job)
  job.n = math.max((job.n or 0) + 1, now_us)
  return job.n
end

-- Is this the lease that may change the job? See protocol section 5, rule 2.
local function is_present(job, lease)
  return job.l == lease and job.lo == nil
end

-- Keeps the ended lease for the record and for repeats of its terminal message.
local function push_history(ref, job)
  local packed = redis.call('HGET', K.job .. ref, 'h')
  local history = packed and cmsgpack.unpack(packed) or {}
  local entry = { at = tonumber(string.match(job.l, '^%d+')), l = job.l, lw = job.lw, aa = job.aa, ta = job.ta,
                  la = job.la or now, lo = job.lo or 'lease_expired', tt = job.tt, lc = job.lc }
  if entry.lo ~= 'released' and entry.lo ~= 'rejected' and entry.lo ~= 'undelivered' then
    entry.e = redis.call('HGET', K.job .. ref, 'e') or nil
  end
  history[#history + 1] = entry
  if #history > HISTORY_MAX then
    table.remove(history, 1)
  end
  redis.call('HSET', K.job .. ref, 'h', cmsgpack.pack(history))
end

-- Is it a worker of this machine?
local function is_of(worker, machine)
  return string.find(worker, machine .. ':gpu', 1, true) == 1
end

-- What became of a lease that is not the present one: the entry that names it, or nil.
local function find_lease(ref, job, lease)
  if job.l == lease then
    return job
  end
  local packed = redis.call('HGET', K.job .. ref, 'h')
  if packed then
    for _, entry in ipairs(cmsgpack.unpack(packed)) do
      if entry.l == lease then
        return entry
      end
    end
  end
  return nil
end
