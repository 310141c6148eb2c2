--- @include "lease"
-- The terminal messages of workers. What it answers is final: a repeat gets the same answer.
local END_STRIDE = 7
local JITTER = tonumber(ARGV[2])

local function accepted(job, kind)
  job.tt = kind
  return 'ok'
end

-- It was asked to stop, so it can only end cancelled; work that was done all the same is refused.
local function finish_cancelling(ref, job, kind)
  local answer
  if kind == 'c' or kind == 'f' then
    job.lc = '1'
    answer = 'conflict'
  else
    answer = accepted(job, kind)
  end
  end_cancelled(ref, job)
  return answer
end

-- ms of when it could have begun, as text.
local function waited_since(job)
  return job.ra and job.ra > tonumber(job.ca) and digits(job.ra) or job.ca
end

local function complete(ref, job, result)
  local since, assigned = waited_since(job), job.aa and digits(job.aa) or ms_text(job.an)
  if job.more then
    -- Its state says how the lease ended.
    end_lease(job, 'completed')
    job.lo, job.la, job.er, job.pg = nil, nil, nil, nil
  end
  end_job(ref, job, 'c', 'job_completed', job.lw, since, assigned, result)
  defer('HSET', K.results, ref, result)
  return 'ok ' .. since .. ' ' .. assigned
end

-- A lease that ran out has put its job back already; a crash that was counted stays counted.
local function hand_back(ref, job, kind)
  local how = kind == 'x' and 'cancelled' or kind == 'r' and 'released' or kind == 'j' and 'rejected' or 'undelivered'
  if job.lx then
    end_lease(job, how)
    set_deadline(ref, job)
  else
    give_back(ref, job, kind == 'x' and 'released' or how)
  end
  return accepted(job, kind)
end

local function finish_present(ref, job, kind, payload, retryable)
  if job.cr then
    return finish_cancelling(ref, job, kind)
  end
  if job.lx and (kind == 'c' or kind == 'f') then
    take_back(ref, job)
  end
  if kind == 'c' then
    return complete(ref, job, payload)
  end
  local stopped = job.sp
  if not stopped and kind ~= 'f' then
    return hand_back(ref, job, kind)
  end
  end_lease(job, stopped or 'failed')
  local answer = accepted(job, kind)
  attempt_failed(ref, job, stopped and error_of_stop(stopped) or payload, stopped ~= nil or retryable == '1', JITTER)
  return answer
end

-- The worker whose slot holds this lease of a job that is gone.
local function slot_with(machine, ref, lease)
  local fields = redis.call('HGETALL', K.machine .. machine)
  for i = 1, #fields, 2 do
    local held_lease, held_ref = string.match(fields[i + 1], '^(%S+) (%S+)')
    if held_lease == lease and held_ref == ref then
      return machine .. ':gpu' .. string.sub(fields[i], 2)
    end
  end
  return nil
end

local function finish_one(ref, lease, machine, kind, payload, retryable, started)
  local job = load_job(ref)
  if not job then
    return 'not_found', slot_with(machine, ref, lease)
  end
  local entry = find_lease(ref, job, lease)
  if not entry or not is_of(entry.lw, machine) then
    return 'stale_lease'
  end
  local answer
  if is_present(job, lease) then
    local held = not job.lx
    if started == '1' then
      start_job(ref, job)
    end
    answer = finish_present(ref, job, kind, payload, retryable)
    save_job(ref, job)
    if held then
      -- The slot of a lease that did not run out names it: no need to look.
      defer('HDEL', K.machine .. machine, 's' .. string.sub(entry.lw, #machine + 5))
      return answer, entry.lw, true
    end
  elseif terminal_of(entry) == kind then
    answer = 'ok'
  elseif terminal_of(entry) or entry.lc then
    answer = 'conflict'
  else
    answer = 'stale_lease'
  end
  return answer, entry.lw
end

-- Ends what the arguments name from one to another: ref, lease, machine, kind (c completed, f failed, x cancelled,
-- r released, j rejected, u never delivered), payload (result or error, JSON), retryable 0 or 1, 1 if the worker said in the
-- same turn that it started. What it answers is said in finish.lua.
local function finish(first, last)
  prefetch_from(first, END_STRIDE, last)
  local reply = {}
  for i = first, last, END_STRIDE do
    local answer, worker, free =
      finish_one(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    free = free or worker and free_slot(worker, ARGV[i + 1])
    reply[#reply + 1] = (free and worker or '-') .. ' ' .. answer
  end
  return table.concat(reply, '\n'), now_text
end
