--- @include "lease"
-- Leases the most urgent jobs that idle slots can run. A slot that holds a lease gets that one back and no other,
-- so it can be run twice. At most one lease of a job is present at any time.
local SLOT_STRIDE = 5

-- Of jobs nobody started in time a call ends so many at most, and then asks to be made again.
local EXPIRE_MOST = 500
local expired = 0
local function expire_if_due(ref, job)
  if not job.so or job.at ~= '0' or next_deadline(job) > now then
    return false
  end
  expire_job(ref, job)
  save_job(ref, job)
  expired = expired + 1
  return true
end

-- A new lease begins with nothing of the one before.
local OF_LEASE = 'aa ta pg pm pt si lo la lx tt lc oi ob ac gr nb sp'
local function forget_lease(ref, job)
  if job.oi then
    redis.call('DEL', K.out .. ref)
  end
  for field in string.gmatch(OF_LEASE, '%l%l') do
    job[field] = nil
  end
  job.tn = ''
end

local lease_end
local function assign(ref, job, slot, index, random)
  if job.l ~= '' then
    if not job.lo then
      end_lease(job, job.lx == 'u' and 'undelivered' or 'lease_expired')
    end
    push_history(ref, job)
    forget_lease(ref, job)
  end
  job.at = after(job.at)
  job.l = job.at .. '-' .. random
  job.lw = slot.machine .. ':gpu' .. index
  job.ix = 'l'
  set_state(job, 'a')
  lease_end = lease_end or digits(now + LEASE_MS)
  defer('ZADD', K.leases, lease_end, ref)
  local field, held = 's' .. index, job.l .. ' ' .. ref
  slot.held[field] = held
  defer('HSET', slot.key, field, held)
  job.an = emit(ref, job, 'job_assigned', job.lw)
  set_deadline(ref, job)
  save_job(ref, job)
end

-- What the slots of a call are now, read once a machine.
local machines = {}
local function read_slots(first)
  local fields = {}
  for i = first, #ARGV, SLOT_STRIDE do
    local machine, index = ARGV[i], ARGV[i + 2]
    local of = fields[machine] or { 'HMGET', K.machine .. machine, 'conn' }
    of[#of + 1] = 's' .. index
    of[#of + 1] = 'o' .. index
    fields[machine] = of
  end
  for machine, of in pairs(fields) do
    local values = redis.call(unpack(of))
    local slots = { machine = machine, key = of[2], conn = values[1], held = {}, drained = {} }
    for k = 4, #of, 2 do
      slots.held[of[k]] = values[k - 2]
      slots.drained[of[k]] = values[k - 1]
    end
    machines[machine] = slots
  end
end

-- Is an answer more than a text?
local with_bodies = false
local function held_answer(held)
  local lease, ref = string.match(held, '^(%S+) (%S+)')
  local job = load_job(ref)
  if job and is_present(job, lease) and not job.lx then
    with_bodies = true
    return { 'held ' .. ref .. ' ' .. lease .. ' ' .. job.sg, redis.call('HGET', K.bodies, ref) }
  end
  return 'stuck ' .. ref .. ' ' .. lease
end

local known_classes = {}
-- What a slot gets without looking at any queue, or nil if it is to get a job.
local function answer_at_once(slots, conn, field, class)
  if slots.conn ~= conn then
    return 'fenced'
  elseif slots.held[field] then
    return held_answer(slots.held[field])
  elseif slots.drained[field] then
    return 'drained'
  end
  known_classes[class] = known_classes[class] or (catch_up(class) and 'known' or 'unknown')
  return known_classes[class] == 'unknown' and 'class' or nil
end

-- By place in the answer.
local claimed = {}
-- The hub that accepted a job keeps its body, for a while; it is asked once.
local kept_since
local bodies_of, bodies_for = {}, {}
local function answer_job(place, ref, job)
  kept_since = kept_since or digits(now - BODY_KEEP_MS)
  if job.hb ~= MARK or job.ca <= kept_since then
    bodies_of[#bodies_of + 1] = ref
    bodies_for[#bodies_for + 1] = place
  end
  job.hb = ''
  claimed[place] = 'job ' .. ref .. ' ' .. job.l .. ' ' .. job.sg
end

local function read_bodies()
  if #bodies_of > 0 then
    with_bodies = true
    local bodies = redis.call('HMGET', K.bodies, unpack(bodies_of))
    for i, place in ipairs(bodies_for) do
      claimed[place] = { claimed[place], bodies[i] }
    end
  end
end

local left = {}
-- How many jobs may be left for a class: those behind the last ones taken, and one for other signatures.
local function note_left(class, signature)
  local behind = redis.call('ZCARD', K.queue .. signature)
  left[#left + 1] = class
  left[#left + 1] = behind > 0 and behind or (redis.call('ZCARD', K.heads .. class) > 1 and 1 or 0)
end

-- Gives the most urgent jobs of a class to slots of it, named by where they are among the arguments from `first` on.
local function serve(class, slots, first)
  local served = 0
  local last
  while served < #slots do
    if last and expired >= EXPIRE_MOST then
      wake(last, 'expired')
      break
    end
    local refs, signature = take_heads(class, #slots - served)
    if not signature then
      break
    end
    last = signature
    for _, ref in ipairs(refs) do
      -- An entry without a job is left by a Redis that lost keys; it is passed over.
      local job = load_job(ref)
      if job then
        job.ix = ''
        if not expire_if_due(ref, job) then
          served = served + 1
          local i = slots[served]
          assign(ref, job, machines[ARGV[i]], ARGV[i + 2], ARGV[i + 4])
          answer_job((i - first) / SLOT_STRIDE + 1, ref, job)
        end
      end
    end
  end
  if last then
    note_left(class, last)
  end
end

-- Claims for the slots that the arguments name from this one on: machine, connection, slot index, class, random part of the
-- lease. What it answers is said in claim.lua.
local function claim_now(first)
  read_slots(first)
  -- Slots of one class that follow each other are served together; one that is named again holds its job by then.
  local run = {}
  for i = first, #ARGV, SLOT_STRIDE do
    local machine, field, class = machines[ARGV[i]], 's' .. ARGV[i + 2], ARGV[i + 3]
    local worker = ARGV[i] .. field
    if run.class ~= class or run[worker] then
      serve(run.class, run, first)
      run = { class = class }
    end
    local answer = answer_at_once(machine, ARGV[i + 1], field, class)
    claimed[#claimed + 1] = answer or 'none'
    if not answer then
      run[#run + 1] = i
      run[worker] = true
    end
  end
  serve(run.class, run, first)
  read_bodies()
  return with_bodies and claimed or table.concat(claimed, '\n'), left
end

-- The same, and {} and why if a record could not be read: that must not take along what was done before. Slots that got a
-- job until then hold it and are told when they ask again. Claims look for jobs where they are written.
local function claim(first)
  write_deferred()
  local done, answers, more = pcall(claim_now, first)
  if not done then
    return {}, type(answers) == 'table' and answers.err or answers
  end
  return answers, more
end
