#!lua flags=allow-oom
--- @include "lib/held"
-- Makes a connection the machine's only one (the fence that every claim and renewal checks). What the machine names is
-- the whole truth: leases that Redis holds for it and that are not named go back to the queue at once.
--
-- KEYS  the shard's tag
-- ARGV  hub, machine, connection, slot indexes by comma, then pairs: ref, lease
-- REPLY {the connection before or '', for each pair {action, next output}, slot fields as they are now, ms of the time}
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

local answers, named = {}, {}
for i = 5, #ARGV, 2 do
  local ref, lease = ARGV[i], ARGV[i + 1]
  local action, next_output, job = hold(ref, lease, machine)
  local field = job and 's' .. string.match(job.lw, '%d+$')
  if job and not exists[field] then
    if job.cr then
      end_cancelled(ref, job, 'released')
    else
      give_back(ref, job, 'released')
    end
    save_job(ref, job)
    action = 'abandon'
  elseif job then
    named[lease] = true
    redis.call('HSET', key, field, lease .. ' ' .. ref)
  end
  answers[#answers + 1] = { action, next_output }
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

local record = redis.call('HGETALL', key)
local slots = {}
for i = 1, #record, 2 do
  local field, held = record[i], record[i + 1]
  if string.match(field, '^s%d') then
    local lease, ref = string.match(held, '^(%S+) (%S+)')
    if not named[lease] then
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
return finish_script({ before, answers, slots, now })
