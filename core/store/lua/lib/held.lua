--- @include "lease"
-- A machine names a lease it still answers for, which is a sign of it.
-- Answers continue, cancel or abandon, the next output wanted, and whether the lease is the present one.
local function hold(ref, lease, machine)
  local job = load_job(ref)
  local entry = job and find_lease(ref, job, lease)
  if not entry or not is_of(entry.lw, machine) then
    return 'abandon', 0, nil
  elseif not may_hold(ref, job, lease) then
    return terminal_of(entry) and 'continue' or 'abandon', 0, nil
  end
  if not job.lx then
    redis.call('ZADD', K.leases, now + LEASE_MS, ref)
  end
  if hold_lease(ref, job) then
    save_job(ref, job)
  end
  return (job.cr or job.sp) and 'cancel' or 'continue', job.oi or 0, job
end
