--- @include "queue"
--- @include "signatures"
--- @include "tombs"
-- Accepts jobs. Running it twice with the same content makes one job; other content under a known id is a conflict.
local JOB_STRIDE = 12

-- By ref what is left of jobs that were trimmed (and of such that ended and were not).
local tombs = {}
local function read_tombs(refs)
  if redis.call('EXISTS', K.tomb) == 1 then
    local found = redis.call('HMGET', K.tomb, unpack(refs))
    for i, ref in ipairs(refs) do
      if found[i] and read_tomb(found[i]) then
        tombs[ref] = found[i]
      elseif found[i] then
        -- It is over, and nobody has cleared it yet.
        redis.call('HDEL', K.tomb, ref)
      end
    end
  end
end

local bodies = {}
local function body_of(ref)
  return bodies[ref] or redis.call('HGET', K.bodies, ref)
end

-- A job of that id exists or did: the same one?
local function answer_known(ref, job, i)
  local level = tonumber(ARGV[i + 4])
  if not job then
    local fingerprint, state, seq, created = read_tomb(tombs[ref])
    if fingerprint ~= ARGV[i + 8] then
      return { 'conflict' }
    end
    return { 'duplicate', state, seq, 0, created }
  end
  local body = body_of(ref)
  if body ~= ARGV[i + 1] then
    -- Other text may still be the same content: keys in another order. The hub, which can tell, asks again.
    return { 'differs', body }
  end
  if level > 0 and not ENDED[job.st] then
    add_watch(job, ME, level)
    save_job(ref, job)
  end
  write_deferred()
  local position = job.st == 'q' and redis.call('ZRANK', K.queue .. job.sg, ref)
  return { 'duplicate', job.st, job.n, position and position + 1 or 0, job.ca }
end

local function run_at_of(text)
  local delay = string.match(text, '^%+(%d+)$')
  return delay and now + tonumber(delay) or tonumber(text)
end

-- Jobs of one call, signature and priority stand one behind the other: the place of the first gives the others theirs.
local last_of = {}
local function enqueue_new(ref, job, arrival)
  job.sc = score_of(job, arrival)
  local last = last_of[job.sg]
  local place
  if last and last.pr == job.pr then
    place = last.place + 1
    defer('ZADD', K.queue .. job.sg, job.sc, ref)
  elseif last then
    -- Its place is only known when those before it are there.
    write_deferred()
  end
  place = enqueue(ref, job, '', place)
  last_of[job.sg] = { pr = job.pr, place = place }
  return place
end

local function accept(ref, i)
  if not know_signature(ARGV[i + 2], ARGV[i + 3]) then
    return { 'full' }
  end
  local level = ARGV[i + 4]
  local watching, keeper = level ~= '0' and level .. ME or '', ARGV[i + 6] == '1' and MARK or ''
  local job = new_job(ARGV[i + 7], ARGV[i + 2], ARGV[i + 8], ARGV[i + 9], ARGV[i + 10], watching, keeper, ARGV[i + 11])
  local arrival = next_arrival()
  local run_at = ARGV[i + 5] ~= '' and run_at_of(ARGV[i + 5])
  local answer
  if run_at and run_at > now then
    schedule(ref, job, run_at)
    job.sn = emit(ref, job, 'job_scheduled', digits(run_at))
    answer = { 'new', job.st, job.n, 0, job.ca }
  else
    job.ra = run_at or nil
    answer = enqueue_new(ref, job, arrival)
  end
  bodies[ref] = ARGV[i + 1]
  defer('ZADD', K.all, job.pr == '' and job.sc ~= '' and job.sc or digits(arrival), ref)
  defer('HSET', K.bodies, ref, ARGV[i + 1])
  save_job(ref, job)
  return answer
end

-- Accepts the jobs that the arguments name from one to another: ref, body, signature, its definition, level of the watch
-- (0 none), run_at in ms or +delay in ms or '', 1 if the hub keeps the body, job type, fingerprint, client_id or '',
-- priority or '', rarer fields of the record as lines. What it answers is said in submit.lua.
local function submit(first, last)
  read_tombs(prefetch_from(first, JOB_STRIDE, last))
  local answers, all_new = {}, true
  for i = first, last, JOB_STRIDE do
    local ref = ARGV[i]
    local job = load_job(ref)
    local answer = (job or tombs[ref]) and answer_known(ref, job, i) or accept(ref, i)
    all_new = all_new and type(answer) == 'number'
    answers[#answers + 1] = answer
  end
  return all_new and table.concat(answers, '\n') or answers, now_us_text
end
