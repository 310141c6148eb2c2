#!lua flags=allow-oom
--- @include "lib/held"
-- Makes a connection the machine's only one (the fence that every claim and renewal checks). What the machine names is
-- the whole truth: leases that Redis holds for it and that are not named go back to the queue at once. If the socket
-- spoke for another machine before, that one is nobody's now and has no slot any more.
--
-- KEYS  the shard's tag
-- ARGV  hub, machine, connection, slot indexes by comma, the machine that the socket spoke for before and its connection
--       ('' if none), then pairs: ref, lease
-- REPLY {the connection before or '', for each pair {action, next output}, slot fields as they are now, ms of the time}
local FIRST_PAIR = 7

local function give_back_slotless(ref, job)
  if job.cr then
    end_cancelled(ref, job, 'released')
  else
    give_back(ref, job, 'released')
  end
  save_job(ref, job)
end

-- What the machine named: an answer for each pair, and the leases it keeps. `exists`: the fields of its slots.
local function hold_named(machine, exists)
  local answers, kept = {}, {}
  for i = FIRST_PAIR, #ARGV, 2 do
    local ref, lease = ARGV[i], ARGV[i + 1]
    local action, next_output, job = hold(ref, lease, machine)
    local field = job and 's' .. string.match(job.lw, '%d+$')
    if job and not exists[field] then
      give_back_slotless(ref, job)
      action = 'abandon'
    elseif job then
      kept[lease] = true
      redis.call('HSET', K.machine .. machine, field, lease .. ' ' .. ref)
    end
    answers[#answers + 1] = { action, next_output }
  end
  return answers, kept
end

local function give_up(ref, lease)
  local job = load_job(ref)
  if job and is_present(job, lease) then
    if job.lx then
      end_lease(job, job.lx == 'u' and 'undelivered' or 'lease_expired')
    else
      lose_lease(ref, job, 'unnamed')
    end
    save_job(ref, job)
  end
end

-- Frees the machine's slots but for the leases it keeps. Returns the fields of slots that are left.
local function free_others(machine, kept)
  local key = K.machine .. machine
  local record, slots = redis.call('HGETALL', key), {}
  for i = 1, #record, 2 do
    local field, held = record[i], record[i + 1]
    if string.match(field, '^s%d') then
      local lease, ref = string.match(held, '^(%S+) (%S+)')
      if not kept[lease] then
        give_up(ref, lease)
        redis.call('HDEL', key, field)
      else
        slots[#slots + 1] = field
        slots[#slots + 1] = held
      end
    elseif string.match(field, '^o%d') then
      slots[#slots + 1] = field
      slots[#slots + 1] = held
    end
  end
  return slots
end

-- The socket speaks for this machine no more: unless another has it by now, none of its slots is left.
local function leave(machine, conn)
  local key = K.machine .. machine
  if redis.call('HGET', key, 'conn') == conn then
    hold_named(machine, {})
    free_others(machine, {})
    redis.call('HDEL', key, 'conn', 'at')
  end
end

if ARGV[5] ~= '' then
  leave(ARGV[5], ARGV[6])
end

local machine, conn = ARGV[2], ARGV[3]
local key = K.machine .. machine
local before = redis.call('HGET', key, 'conn') or ''
redis.call('HSET', key, 'conn', conn, 'at', digits(now))
-- A fence is <hub>:<connection>.<n>: the same socket may register again.
if before ~= '' and string.match(before, '^[^.]+') ~= string.match(conn, '^[^.]+') then
  send(string.match(before, '^[^:]+'), table.concat({ 'replaced', machine, before }, '\n'))
end

local exists = {}
for index in string.gmatch(ARGV[4], '%d+') do
  exists['s' .. index] = true
end
local answers, kept = hold_named(machine, exists)
return finish_script({ before, answers, free_others(machine, kept), now })
