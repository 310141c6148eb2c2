#!lua flags=allow-oom
--- @include "lib/lease"
-- Signs of work: started, progress, output. Anything under another lease than the present one changes nothing.
--
-- KEYS  the shard's tag
-- ARGV  hub, then for each sign: ref, lease, machine, kind (s p o, or w: write progress that was told and came back as late),
--       progress or index, data (JSON or ''), message (JSON or '')
-- REPLY {for each sign: ok, stale, late (progress that was told, but is not written), or (outputs) the next index wanted}
local STRIDE = 7
local PROGRESS_WRITE_MS = 1000

-- Redis holds the latest progress, but not each: one write a second is enough for who comes later. The hub that has the
-- worker brings what is left out when the second is over.
local function write_progress(job, progress, text)
  if not job.pt or now - job.pt >= PROGRESS_WRITE_MS or progress == '1' then
    job.pg = progress
    job.pm = text ~= '' and text or nil
    job.pt = now
    return true
  end
  return false
end

local function add_output(ref, job, index, data)
  local next_index = job.oi or 0
  if index < next_index then
    return next_index
  end
  if index > next_index then
    emit(ref, job, 'job_output_gap', next_index, index - 1)
  end
  redis.call('XADD', K.out .. ref, 'MAXLEN', '~', OUTPUT_KEEP, '1-' .. digits(index + 1), 'd', data)
  job.oi = index + 1
  job.ob = (job.ob or 0) + #data
  if job.ob > OUTPUT_KEEP_BYTES then
    -- Half of it goes at once, so that not every further output has to trim.
    local length = redis.call('XLEN', K.out .. ref)
    redis.call('XTRIM', K.out .. ref, 'MAXLEN', math.ceil(length / 2))
    job.ob = math.floor(job.ob / 2)
  end
  tell(ref, job, 'job_output', digits(index), data)
  return job.oi
end

-- It was told, and its sign was counted, when it came.
local function write_late(ref, job, lease, progress, text)
  if not job or not is_present(job, lease) then
    return 'stale'
  elseif not write_progress(job, progress, text) then
    return 'late'
  end
  save_job(ref, job)
  return 'ok'
end

local function report(ref, lease, machine, kind, number, data, text)
  local job = load_job(ref)
  if kind == 'w' then
    return write_late(ref, job, lease, number, text)
  end
  if not job or not may_hold(ref, job, lease) or not is_of(job.lw, machine) then
    return 'stale'
  end
  local changed = start_job(ref, job)
  local answer = 'ok'
  if kind == 'p' then
    local written = write_progress(job, number, text)
    answer = written and 'ok' or 'late'
    changed = written or changed
    tell(ref, job, 'job_progress', number, text, data)
  elseif kind == 'o' then
    answer = add_output(ref, job, tonumber(number), data)
    changed = true
  end
  if job.po then
    job.ac = now
    set_deadline(ref, job)
    changed = true
  end
  if changed then
    save_job(ref, job)
  end
  return answer
end

prefetch_from(2, STRIDE)

local reply = {}
for i = 2, #ARGV, STRIDE do
  reply[#reply + 1] = report(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
end
return finish_script({ reply })
