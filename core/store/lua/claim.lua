#!lua
--- @include "lib/lease"
-- Leases the most urgent jobs that idle slots can run. A slot that holds a lease gets that one back and no other,
-- so it can be run twice. At most one lease of a job is present at any time.
--
-- KEYS  the shard's tag
-- ARGV  hub, then for each slot: machine, connection, slot index, class, random part of the lease
-- REPLY for each slot {outcome, ref, lease, attempt, b, more, signature}, outcome: job, held, none, fenced, drained,
--       stuck (its lease was lost, the worker has not said so), class (not known); more: how many jobs may be left
local STRIDE = 5

local function expire_if_due(ref, job)
  if not job.so or (job.at or 0) > 0 or next_deadline(job) > now then
    return false
  end
  expire_job(ref, job)
  save_job(ref, job)
  return true
end

-- The most urgent job of the class that is still wanted: ref, record, signature, body.
local function next_job(class)
  while true do
    local ref, signature = best_head(class)
    if not ref then
      return nil
    end
    local fields = redis.call('HMGET', K.job .. ref, 'd', 'b')
    if not fields[1] then
      -- Only a Redis that lost keys has such an entry; it must not stop the queue.
      redis.call('ZREM', K.queue .. signature, ref)
    else
      local job = cmsgpack.unpack(fields[1])
      if not expire_if_due(ref, job) then
        return ref, job, signature, fields[2]
      end
    end
  end
end

local function assign(ref, job, machine, index, random)
  leave_index(ref, job)
  if job.l then
    if not job.lo then
      end_lease(job, job.lx == 'u' and 'undelivered' or 'lease_expired')
    end
    push_history(ref, job)
  end
  if job.oi then
    redis.call('DEL', K.out .. ref)
  end
  for _, field in ipairs({ 'ta', 'tn', 'pg', 'pm', 'pt', 'si', 'lo', 'la', 'lx', 'tt', 'lc', 'oi', 'ob', 'ac', 'gr', 'sp' }) do
    job[field] = nil
  end
  job.at = (job.at or 0) + 1
  job.l = job.at .. '-' .. random
  job.lw = machine .. ':gpu' .. index
  job.aa = now
  job.ix = 'l'
  set_state(job, 'a')
  redis.call('ZADD', K.leases, now + LEASE_MS, ref)
  redis.call('HSET', K.machine .. machine, 's' .. index, job.l .. ' ' .. ref)
  set_deadline(ref, job)
  job.an = emit(ref, job, 'job_assigned', job.lw)
  save_job(ref, job)
end

local read = {}
local function claim(machine, conn, index, class, random)
  local slot = redis.call('HMGET', K.machine .. machine, 'conn', 's' .. index, 'o' .. index)
  if slot[1] ~= conn then
    return { 'fenced' }
  elseif slot[2] then
    local lease, ref = string.match(slot[2], '^(%S+) (%S+)')
    local fields = redis.call('HMGET', K.job .. ref, 'd', 'b')
    local job = fields[1] and cmsgpack.unpack(fields[1])
    if job and is_present(job, lease) and not job.lx then
      return { 'held', ref, lease, job.at, fields[2], 0, job.sg }
    end
    return { 'stuck', ref, lease }
  elseif slot[3] then
    return { 'drained' }
  end
  read[class] = read[class] or (catch_up(class) and 'known' or 'unknown')
  if read[class] == 'unknown' then
    return { 'class' }
  end
  local ref, job, signature, body = next_job(class)
  if not ref then
    return { 'none' }
  end
  assign(ref, job, machine, index, random)
  local more = redis.call('ZCARD', K.queue .. signature)
  if more == 0 and redis.call('ZCARD', K.heads .. class) > 1 then
    more = 1
  end
  return { 'job', ref, job.l, job.at, body, more, signature }
end

local reply = {}
for i = 2, #ARGV, STRIDE do
  reply[#reply + 1] = claim(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
return finish_script(reply)
