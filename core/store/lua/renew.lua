#!lua flags=allow-oom
--- @include "lib/held"
-- A machine's heartbeat: renews every lease it names, takes back those that ran out and nobody else has, and frees the
-- slots whose lease ran out and which it no longer names.
--
-- KEYS  the shard's tag
-- ARGV  hub, machine, connection, then pairs: ref, lease
-- REPLY {fenced 0 or 1, for each pair {action, next output}, indexes of the slots that got free, of those with a lease}
local machine, conn = ARGV[2], ARGV[3]
local record = redis.call('HGETALL', K.machine .. machine)
local slots = {}
for i = 1, #record, 2 do
  slots[record[i]] = record[i + 1]
end
if slots.conn ~= conn then
  return { { 1, {}, {}, {} }, effects_text() }
end

prefetch_from(4, 2)

local answers, named = {}, {}
for i = 4, #ARGV, 2 do
  named[ARGV[i + 1]] = true
  local action, next_output = hold(ARGV[i], ARGV[i + 1], machine)
  answers[#answers + 1] = { action, next_output }
end

local freed, leased = {}, {}
for field, held in pairs(slots) do
  if string.match(field, '^s%d') then
    local index = tonumber(string.sub(field, 2))
    local lost = string.match(held, '^(%S+) %S+ x$')
    if lost and not named[lost] then
      redis.call('HDEL', K.machine .. machine, field)
      freed[#freed + 1] = index
    else
      leased[#leased + 1] = index
    end
  end
end
return finish_script({ 0, answers, freed, leased })
