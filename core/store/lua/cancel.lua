#!lua flags=allow-oom
--- @include "lib/lease"
-- Cancels a job: at once while it waits, else its worker is asked to stop. From here on it can only end cancelled.
--
-- KEYS  the shard's tag
-- ARGV  hub, ref, reason (JSON string or '')
-- REPLY {outcome, state letter}, outcome: cancelled, cancelling, ended, not_found
local ref = ARGV[2]
local job = load_job(ref)
if not job then
  return { { 'not_found', '' }, effects_text() }
elseif ENDED[job.st] then
  return { { 'ended', job.st }, effects_text() }
elseif job.cr then
  return { { 'cancelling', job.st }, effects_text() }
end

job.cr = now
job.cw = ARGV[3] ~= '' and ARGV[3] or nil
local outcome = 'cancelled'
if job.ix == 'l' then
  outcome = 'cancelling'
  job.sp = nil
  job.gr = now + CANCEL_GRACE_MS
  job.cn = emit(ref, job, 'job_cancelling', job.cw)
  order_worker(ref, job, 'cancel', job.cw, CANCEL_GRACE_MS)
  set_deadline(ref, job)
else
  -- A lease that ran out may still have a worker at it: what that one sends is refused as after any cancel.
  job.lc = job.lx and '1' or job.lc
  end_cancelled(ref, job)
end
save_job(ref, job)
return finish_script({ outcome, job.st })
