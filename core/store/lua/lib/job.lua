--- @include "digits"
--- @include "later"
-- A job is a field, named by its ref, of a few HASHes:
--   jobs     its record: what scripts read and change (below)
--   bodies   JSON members that a worker is sent: job_type, params and, unless they are defaults, max_attempts,
--            run_timeout_ms, metadata. After a line break the other members of the submission that are not defaults
--   results  its result, JSON
--   pasts    its ended leases before the present one, a line each
-- Bodies and results are opaque: cjson would turn [] into {} and round large integers.
--
-- A record is text, because Lua reads and writes that several times faster than packed tables. First comes what each job
-- has, by position, each with a NUL behind it, as text, '' for none:
--   st state letter and ix index it lies in: q queue, s scheduled, l leases, d done   n seq   w watching hubs
--   ty job type   sg signature   fp fingerprint of the content   ci client_id   pr priority, '' for 0   sc score
--   ca created_at ('' while that is when the last event was)
--   hb mark of the hub that keeps the body since it accepted the job, until the first claim
--   qr qn why it was last queued ('' submitted), and with which seq ('' while that is the last one and it waits)
--   at attempts counted   l lease   lw its worker   an tn seq of the last job_assigned, job_started
-- The ms of an event are its seq without the last three digits.
--
-- Then each line is one of the rarer fields, name and value; absent means null, zero or the default:
--   rf retry_of   ma max_attempts   bo backoff_ms   so ro po start, run and progress timeout in ms
--   ra run_at   cr cancel_requested_at   cw why it was cancelled   sn seq of the last job_scheduled or job_retrying
--   cn seq of job_cancelling   aa ta assigned_at, started_at where they differ from the event's
--   lx ran out but still present: u undelivered, c crash
--   lo how the lease ended, absent while it is present   la when   tt terminal message accepted with it
--      (a completed job has none of the three: its state says them)
--   lc 1: a terminal message of this lease was refused with conflict
--   si 1: the worker showed a sign of the lease before it started   sp why it is being stopped: timeout, progress_timeout
--   gr when the grace of a stop ends   nb no deadline of the lease counts before: the reaper was away
--   ac last activity (progress timeouts only)   dl 1: it has an entry in deadlines
--   er last error, JSON   xc workers it crashed on   xn 1: the last crash was its worker's first
--   pg pm pt progress, its message, when written   oi ob next output, bytes kept
-- The states are scheduled, queued, assigned, processing, completed, failed, cancelled (x) and expired.
local ENDED = { c = true, f = true, x = true, e = true }
local MAX_ATTEMPTS = 3
local BACKOFF_MS = 1000
local HISTORY_MAX = 20

local USUAL = 'sssssssssssssssssss'
-- Of the rarer fields.
local NUMBERS = 'ma bo so ro po ra cr aa ta la gr nb ac pt oi ob'

-- ms of a seq.
local function ms_text(seq)
  return string.sub(seq, 1, -4)
end

local function ms_of(seq)
  return tonumber(ms_text(seq))
end

-- The rarer fields from their lines.
local function read_fields(job, lines)
  for name, value in string.gmatch(lines, '\n(%l%l)([^\n]*)') do
    job[name] = string.find(NUMBERS, name, 1, true) and tonumber(value) or value
  end
end

-- `more` lists the rarer fields that a job has got, so that only those are looked for; false if none.
local RARER = {
  __newindex = function(job, name, value)
    if value ~= nil then
      local more = job.more or {}
      if not more[name] then
        more[name] = true
        more[#more + 1] = name
      end
      job.more = more
      rawset(job, name, value)
    end
  end,
}

local function parse(text)
  local st, ix, n, w, ty, sg, fp, ci, pr, sc, ca, hb, qr, qn, at, l, lw, an, tn, lines = struct.unpack(USUAL, text)
  local job = { st = st, ix = ix, n = n, w = w, ty = ty, sg = sg, fp = fp, ci = ci, pr = pr, sc = sc,
                ca = ca == '' and ms_text(n) or ca, hb = hb, qr = qr, qn = qn == '' and st == 'q' and n or qn,
                at = at, l = l, lw = lw, an = an, tn = tn, more = false }
  setmetatable(job, RARER)
  if lines <= #text then
    read_fields(job, string.sub(text, lines))
  end
  return job
end

-- A job that has no state yet. `lines`: its rarer fields.
local function new_job(ty, sg, fp, ci, pr, w, hb, lines)
  local job = { st = '', ix = '', n = '', w = w, ty = ty, sg = sg, fp = fp, ci = ci, pr = pr, sc = '', ca = now_text,
                hb = hb, qr = '', qn = '', at = '0', l = '', lw = '', an = '', tn = '', more = false }
  setmetatable(job, RARER)
  if lines ~= '' then
    read_fields(job, lines)
  end
  return job
end

local function write_fields(job)
  local lines = ''
  for _, name in ipairs(job.more) do
    local value = job[name]
    if value then
      lines = lines .. '\n' .. name .. (type(value) == 'number' and digits(value) or value)
    end
  end
  return lines
end

local function text_of(job)
  local ca = job.ca == ms_text(job.n) and '' or job.ca
  local qn = job.st == 'q' and job.qn == job.n and '' or job.qn
  return job.st .. '\0' .. job.ix .. '\0' .. job.n .. '\0' .. job.w .. '\0' .. job.ty .. '\0' .. job.sg .. '\0' .. job.fp
    .. '\0' .. job.ci .. '\0' .. job.pr .. '\0' .. job.sc .. '\0' .. ca .. '\0' .. job.hb .. '\0' .. job.qr .. '\0' .. qn
    .. '\0' .. job.at .. '\0' .. job.l .. '\0' .. job.lw .. '\0' .. job.an .. '\0' .. job.tn .. '\0'
    .. (job.more and write_fields(job) or '')
end

-- Jobs of this call by ref: read once, and written once, at its end.
local texts, jobs, changed, changed_refs = {}, {}, {}, {}

-- Those of some refs that are not here yet.
local function missing(refs)
  if next(jobs) == nil then
    return refs
  end
  local those = {}
  for _, ref in ipairs(refs) do
    if jobs[ref] == nil then
      those[#those + 1] = ref
    end
  end
  return those
end

local READ_MOST = 1000
-- Reads the records of several jobs together.
local function prefetch(refs)
  local those = missing(refs)
  for from = 1, #those, READ_MOST do
    local to = math.min(from + READ_MOST - 1, #those)
    local found = redis.call('HMGET', K.jobs, unpack(those, from, to))
    for i = from, to do
      texts[those[i]] = found[i - from + 1]
    end
  end
end

-- The refs of a call's operations, their records read: one each `stride` arguments, to the last one unless another is named.
local function prefetch_from(first, stride, last)
  local refs = {}
  for i = first, last or #ARGV, stride do
    refs[#refs + 1] = ARGV[i]
  end
  prefetch(refs)
  return refs
end

local function load_job(ref)
  local job = jobs[ref]
  if job == nil then
    local text = texts[ref]
    if text == nil then
      text = redis.call('HGET', K.jobs, ref)
    end
    job = text and parse(text)
    jobs[ref] = job
  end
  return job
end

local function save_job(ref, job)
  if not changed[ref] then
    changed[ref] = true
    changed_refs[#changed_refs + 1] = ref
    jobs[ref] = job
  end
end

local function write_jobs()
  for i = 1, #changed_refs do
    local ref = changed_refs[i]
    defer('HSET', K.jobs, ref, text_of(jobs[ref]))
  end
end

local function assigned_at(job)
  return job.aa or ms_of(job.an)
end

-- Seq grows with each state change and is never reused, also when Redis comes back older.
local function next_seq(job)
  -- Both have 16 digits until the year 2286.
  job.n = job.n < now_us_text and now_us_text or after(job.n)
  return job.n
end

-- Is this the lease that may change the job? See protocol section 5, rule 2.
local function is_present(job, lease)
  return job.l == lease and job.lo == nil and job.st ~= 'c'
end

-- The terminal message that was accepted with a lease, by its entry, or nil.
local function terminal_of(entry)
  return entry.tt or entry.st == 'c' and 'c' or nil
end

-- Keeps the ended lease for the record and for repeats of its terminal message.
local function push_history(ref, job)
  local how = job.lo or 'lease_expired'
  local err = how ~= 'released' and how ~= 'rejected' and how ~= 'undelivered' and job.er or ''
  local started = job.tn ~= '' and digits(job.ta or ms_of(job.tn)) or ''
  local line = table.concat({ job.l, job.lw, digits(assigned_at(job)), started, digits(job.la or now), how, job.tt or '',
                              job.lc or '', err }, ' ')
  local past = redis.call('HGET', K.pasts, ref)
  past = past and past .. '\n' .. line or line
  local _, breaks = string.gsub(past, '\n', '\n')
  if breaks >= HISTORY_MAX then
    past = string.match(past, '\n(.*)$')
  end
  redis.call('HSET', K.pasts, ref, past)
end

-- Is it a worker of this machine?
local function is_of(worker, machine)
  return string.sub(worker, 1, #machine) == machine and string.sub(worker, #machine + 1, #machine + 4) == ':gpu'
end

-- What became of a lease: the entry that names it (the job itself for its last one), or nil.
local function find_lease(ref, job, lease)
  if job.l == lease then
    return job
  end
  local past = redis.call('HGET', K.pasts, ref)
  for line in string.gmatch(past or '', '[^\n]+') do
    local l, worker, tt, lc = string.match(line, '^(%S+) (%S+) %d+ %d* %d+ %S+ (%l?) (1?) ')
    if l == lease then
      return { lw = worker, tt = tt ~= '' and tt or nil, lc = lc ~= '' and lc or nil }
    end
  end
  return nil
end
