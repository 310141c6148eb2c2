#!lua
--- @include "lib/lease"
-- Leases the most urgent jobs that idle slots can run. A slot that holds a lease gets that one back and no other,
-- so it can be run twice. At most one lease of a job is present at any time.
--
-- KEYS  the shard's tag
-- ARGV  hub, then for each slot: machine, connection, slot index, class, random part of the lease
-- REPLY for each slot {outcome, ref, lease, attempt, b ('' if the hub keeps it), more, signature}, outcome: job, held,
--       none, fenced, drained, stuck (its lease was lost, the worker has not said so), class (not known); more: how
--       many jobs may be left
local STRIDE = 5

local function expire_if_due(ref, job)
  if not job.so or (job.at or 0) > 0 or next_deadline(job) > now then
    return false
  end
  expire_job(ref, job)
  save_job(ref, job)
  return true
end

-- The hub that accepted the job has its body, for a while; it is asked once.
local function body_of(ref, job)
  local keeper = job.hb
  job.hb = nil
  if keeper == ME and now - job.ca < BODY_KEEP_MS then
    return ''
  end
  return redis.call('HGET', K.job .. ref, 'b')
end

-- Takes the most urgent job of the class that is still wanted: ref, record, signature.
local function next_job(class)
  while true do
    local ref, signature = take_head(class)
    if not ref then
      return nil
    end
    -- An entry without a job is left by a Redis that lost keys; it is passed over.
    local job = load_job(ref)
    if job then
      job.ix = nil
      if not expire_if_due(ref, job) then
        return ref, job, signature
      end
    end
  end
end

-- A new lease begins with nothing of the one before.
local OF_LEASE = { 'ta', 'tn', 'pg', 'pm', 'pt', 'si', 'lo', 'la', 'lx', 'tt', 'lc', 'oi', 'ob', 'ac', 'gr', 'sp' }
local function forget_lease(ref, job)
  if job.oi then
    redis.call('DEL', K.out .. ref)
  end
  for _, field in ipairs(OF_LEASE) do
    job[field] = nil
  end
end

local lease_end = digits(now + LEASE_MS)
local function assign(ref, job, machine, index, random)
  if job.l then
    if not job.lo then
      end_lease(job, job.lx == 'u' and 'undelivered' or 'lease_expired')
    end
    push_history(ref, job)
    forget_lease(ref, job)
  end
  job.at = (job.at or 0) + 1
  job.l = job.at .. '-' .. random
  job.lw = machine .. ':gpu' .. index
  job.aa = now
  job.ix = 'l'
  set_state(job, 'a')
  defer('ZADD', K.leases, lease_end, ref)
  defer('HSET', K.machine .. machine, 's' .. index, job.l .. ' ' .. ref)
  set_deadline(ref, job)
  job.an = emit(ref, job, 'job_assigned', job.lw)
  save_job(ref, job)
end

-- What the slots of a call are now, read once a machine: {conn, s, o, s, o, ...} by the order of its slots.
local slots = {}
local function read_slots()
  local indexes = {}
  for i = 2, #ARGV, STRIDE do
    local machine, index = ARGV[i], ARGV[i + 2]
    local fields = indexes[machine] or { 'HMGET', K.machine .. machine, 'conn' }
    fields[#fields + 1] = 's' .. index
    fields[#fields + 1] = 'o' .. index
    indexes[machine] = fields
  end
  for machine, fields in pairs(indexes) do
    local values = redis.call(unpack(fields))
    local slot = { conn = values[1] }
    for k = 4, #fields do
      slot[fields[k]] = values[k - 2]
    end
    slots[machine] = slot
  end
end

local function held_answer(held)
  local lease, ref = string.match(held, '^(%S+) (%S+)')
  local fields = redis.call('HMGET', K.job .. ref, 'd', 'b')
  local job = fields[1] and cmsgpack.unpack(fields[1])
  if job and is_present(job, lease) and not job.lx then
    return { 'held', ref, lease, job.at, fields[2], 0, job.sg }
  end
  return { 'stuck', ref, lease }
end

local read = {}
local function claim(machine, conn, index, class, random)
  local slot = slots[machine]
  if slot.conn ~= conn then
    return { 'fenced' }
  elseif slot['s' .. index] then
    return held_answer(slot['s' .. index])
  elseif slot['o' .. index] then
    return { 'drained' }
  end
  read[class] = read[class] or (catch_up(class) and 'known' or 'unknown')
  if read[class] == 'unknown' then
    return { 'class' }
  end
  local ref, job, signature = next_job(class)
  if not ref then
    return { 'none' }
  end
  local body = body_of(ref, job)
  assign(ref, job, machine, index, random)
  slot['s' .. index] = job.l .. ' ' .. ref
  return { 'job', ref, job.l, job.at, body, class, signature }
end

local left = {}
-- How many jobs may be left for a class: those behind the last one taken, and one for other signatures.
local function jobs_left(class, signature)
  if not left[class] then
    local behind = redis.call('ZCARD', K.queue .. signature)
    left[class] = behind > 0 and behind or (redis.call('ZCARD', K.heads .. class) > 1 and 1 or 0)
  end
  return left[class]
end

read_slots()
local reply = {}
for i = 2, #ARGV, STRIDE do
  reply[#reply + 1] = claim(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
for i = #reply, 1, -1 do
  if reply[i][1] == 'job' then
    reply[i][6] = jobs_left(reply[i][6], reply[i][7])
  end
end
return finish_script(reply)
