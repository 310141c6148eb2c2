#!lua
--- @include "lib/queue"
--- @include "lib/signatures"
-- Accepts jobs. Running it twice with the same content makes one job; other content under a known id is a conflict.
--
-- KEYS  the shard's tag
-- ARGV  hub, then for each job: ref, b, o, signature, its definition, level of the watch (0 none), run_at in ms or
--       +delay in ms or '', 1 if the hub keeps the body, job type, fingerprint, client_id or '', priority, further
--       fields of d (JSON) or ''
-- REPLY for each job {outcome, state letter, seq, position or 0, created_at}, outcome: new, duplicate, conflict, full;
--       or {differs, b, o} with what is stored, when that is another text
local STRIDE = 13

-- By ref what is left of jobs that were trimmed (and of such that ended and were not).
local tombs = {}
local function read_tombs(refs)
  if redis.call('EXISTS', K.tombs) == 1 then
    local found = redis.call('HMGET', K.tomb, unpack(refs))
    for i, ref in ipairs(refs) do
      if found[i] and tonumber(redis.call('ZSCORE', K.tombs, ref) or 0) > now then
        tombs[ref] = found[i]
      elseif found[i] then
        -- It is over, and nobody has cleared it yet.
        redis.call('HDEL', K.tomb, ref)
        redis.call('ZREM', K.tombs, ref)
      end
    end
  end
end

-- A job of that id exists or did: the same one?
local function answer_known(key, ref, i)
  local b, o, level = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 5])
  local known = redis.call('HMGET', key, 'b', 'o', 'd')
  if not known[3] then
    local fingerprint, state, seq, created = string.match(tombs[ref], '^(%S+) (%S) (%d+) (%d+)$')
    if fingerprint ~= ARGV[i + 9] then
      return { 'conflict' }
    end
    return { 'duplicate', state, tonumber(seq), 0, tonumber(created) }
  end
  if known[1] ~= b or (known[2] or '') ~= o then
    -- Other text may still be the same content: keys in another order. The hub, which can tell, asks again.
    return { 'differs', known[1], known[2] or '' }
  end
  local job = cmsgpack.unpack(known[3])
  if level > 0 and not ENDED[job.st] then
    add_watch(job, ME, level)
    save_job(ref, job)
  end
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
  job.sc = arrival - (job.pr or 0) * AGING_US
  local last = last_of[job.sg]
  local place
  if last and last.pr == job.pr then
    place = last.place + 1
    defer('ZADD', K.queue .. job.sg, digits(job.sc), ref)
  elseif last then
    -- Its place is only known when those before it are there.
    write_deferred()
  end
  place = enqueue(ref, job, 'submitted', place)
  last_of[job.sg] = { pr = job.pr, place = place }
  return place
end

-- What the hub knows of the record; few jobs have more than the first four.
local function constants_of(i)
  local job = ARGV[i + 4] ~= '' and cjson.decode(ARGV[i + 4]) or {}
  job.ty, job.fp = ARGV[i], ARGV[i + 1]
  job.ci = ARGV[i + 2] ~= '' and ARGV[i + 2] or nil
  job.pr = ARGV[i + 3] ~= '0' and tonumber(ARGV[i + 3]) or nil
  return job
end

local function accept(key, ref, i)
  local o, signature, level = ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 5])
  if not know_signature(signature, ARGV[i + 4]) then
    return { 'full' }
  end
  local job = constants_of(i + 8)
  job.hb = ARGV[i + 7] == '1' and ME or nil
  job.sg = signature
  job.ca = now
  if level > 0 then
    job.w = level .. ME
  end
  local arrival = next_arrival()
  local run_at = run_at_of(ARGV[i + 6])
  local position = 0
  if run_at and run_at > now then
    schedule(ref, job, run_at)
    job.sn = emit(ref, job, 'job_scheduled', run_at)
  else
    job.ra = run_at
    position = enqueue_new(ref, job, arrival)
  end
  defer('ZADD', K.all, digits(arrival), ref)
  if o == '' then
    redis.call('HSET', key, 'b', ARGV[i + 1], 'd', cmsgpack.pack(job))
  else
    redis.call('HSET', key, 'b', ARGV[i + 1], 'o', o, 'd', cmsgpack.pack(job))
  end
  return { 'new', job.st, job.n, position, now }
end

local keys, refs = {}, {}
for i = 2, #ARGV, STRIDE do
  keys[#keys + 1] = K.job .. ARGV[i]
  refs[#refs + 1] = ARGV[i]
end
local any_known = redis.call('EXISTS', unpack(keys)) > 0
read_tombs(refs)

local reply, seen = {}, {}
for i = 2, #ARGV, STRIDE do
  local ref = ARGV[i]
  local key = K.job .. ref
  local known = seen[ref] or tombs[ref] or (any_known and redis.call('EXISTS', key) == 1)
  local answer = known and answer_known(key, ref, i) or accept(key, ref, i)
  seen[ref] = answer[1] ~= 'full'
  reply[#reply + 1] = answer
end
return finish_script(reply)
