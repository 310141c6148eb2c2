#!lua flags=no-writes
--- @include "lib/queue"
-- Looks whether jobs lie in the one index their records name, and whether leases and slots name each other. Each call is
-- one instant, so what it finds is so, whatever goes on; it reads as much as it is asked to.
--
-- KEYS  the shard's tag
-- ARGV  hub, what, then: for `jobs` refs; for `index` the key and refs that were in it; for `machines` their ids; for
--       `sums` nothing
-- REPLY a sentence for each thing that is wrong
local STATES = { s = 'scheduled', q = 'queued', a = 'assigned', p = 'processing',
                 c = 'completed', f = 'failed', x = 'cancelled', e = 'expired' }
local STATES_OF_INDEX = { q = 'q', s = 's', l = 'ap', d = 'cfxe' }
local problems = {}
local function tell(...)
  problems[#problems + 1] = table.concat({ ... })
end

-- Where the record says that the job lies: the key, and the score if the record has it.
local function place_of(job)
  if job.ix == 'q' then
    return K.queue .. job.sg, tonumber(job.sc)
  elseif job.ix == 's' then
    return K.scheduled, job.ra
  elseif job.ix == 'l' then
    return K.leases
  end
  return K.done .. job.st, ms_of(job.n)
end

local function short(key)
  return string.sub(key, #KEYS[1] + 2)
end

local function text_of(number)
  return number and digits(number) or 'none'
end

local function check_place(ref, job)
  local states = STATES_OF_INDEX[job.ix]
  if not states or not string.find(states, job.st, 1, true) then
    return tell('job ', ref, ' is ', job.st, ' but its ix says ', job.ix ~= '' and job.ix or 'none')
  end
  local key, score = place_of(job)
  local found = {}
  for _, index in ipairs({ K.queue .. job.sg, K.scheduled, K.leases, K.done .. 'c', K.done .. 'f', K.done .. 'x', K.done .. 'e' }) do
    local held = redis.call('ZSCORE', index, ref)
    if held then
      found[#found + 1] = short(index)
      if index == key and score and tonumber(held) ~= score then
        tell('job ', ref, ' has the score ', held, ' in ', short(index), ', but its record says ', text_of(score))
      end
    end
  end
  if #found ~= 1 or found[1] ~= short(key) then
    tell('job ', ref, ' should lie in ', short(key), ', but lies in ', #found > 0 and table.concat(found, ', ') or 'no index')
  end
  if not redis.call('ZSCORE', K.all, ref) then
    tell('job ', ref, ' is not in all')
  end
end

local function check_deadline(ref, job)
  local due = not ENDED[job.st] and next_deadline(job) or nil
  local kept = tonumber(redis.call('ZSCORE', K.deadlines, ref) or nil)
  if due ~= kept then
    tell('job ', ref, ' has its next deadline at ', text_of(due), ', but deadlines says ', text_of(kept))
  end
  if (kept ~= nil) ~= (job.dl ~= nil) then
    tell('job ', ref, ' says ', tostring(job.dl), ' of its deadline ', text_of(kept))
  end
end

local function check_lease(ref, job)
  if job.ix == 'l' then
    local machine, index = string.match(job.lw, '^(.*):gpu(%d+)$')
    local held = machine and redis.call('HGET', K.machine .. machine, 's' .. index)
    if not held or string.match(held, '^%S+') ~= job.l then
      tell('job ', ref, ' is leased to ', job.lw ~= '' and job.lw or 'nobody', ', whose slot does not hold it')
    end
    if job.lo or job.lx then
      tell('job ', ref, ' is leased under a lease that is over')
    end
  elseif ENDED[job.st] and job.l ~= '' and not job.lo and job.st ~= 'c' then
    tell('job ', ref, ' has ended, but its lease has not')
  end
end

local function check_job(ref)
  local job = load_job(ref)
  if not job then
    return
  end
  if redis.call('HEXISTS', K.bodies, ref) == 0 then
    tell('job ', ref, ' has no body')
  end
  if not STATES[job.st] then
    return tell('job ', ref, ' has the state ', tostring(job.st))
  end
  check_place(ref, job)
  check_deadline(ref, job)
  check_lease(ref, job)
end

-- The index of the entry may have lost it since it was read; then there is nothing to say.
local function check_entry(key, ref)
  if not redis.call('ZSCORE', key, ref) then
    return
  end
  local job = load_job(ref)
  if not job then
    tell(short(key), ' has ', ref, ', which is no job')
  elseif key ~= K.all and key ~= K.deadlines and place_of(job) ~= key then
    tell(short(key), ' has ', ref, ', whose record names ', short((place_of(job))))
  end
end

local function check_slot(worker, has_conn, held)
  local lease, ref, mark = string.match(held, '^(%S+) (%S+) ?(%S*)$')
  local job = ref and load_job(ref)
  local live = job and job.ix == 'l' and job.l == lease and job.lw == worker
  if not lease then
    tell(worker, ' holds ', held, ', which is no lease')
  elseif mark == '' and not live then
    tell(worker, ' holds the lease ', lease, ' of ', ref, ', which does not')
  elseif mark ~= '' and live then
    tell(worker, ' lost the lease ', lease, ' (', mark, '), but ', ref, ' has it still')
  elseif mark ~= '' and mark ~= 'x' and mark ~= 't' then
    tell(worker, ' has the mark ', mark)
  elseif mark ~= '' and not has_conn then
    tell(worker, ' waits for a word, but its machine is away')
  end
end

local function check_machine(machine)
  local fields = redis.call('HGETALL', K.machine .. machine)
  local record = {}
  for i = 1, #fields, 2 do
    record[fields[i]] = fields[i + 1]
  end
  for field, held in pairs(record) do
    local index = string.match(field, '^s(%d+)$')
    if index then
      check_slot(machine .. ':gpu' .. index, record.conn ~= nil, held)
    end
  end
end

-- Counts by state against the sizes of the indexes. Ended jobs are counted since ever, so there may be fewer.
local function check_sums()
  local counted = {}
  local counts = redis.call('HGETALL', K.counts)
  for i = 1, #counts, 2 do
    local letter = string.sub(counts[i], -1)
    counted[letter] = (counted[letter] or 0) + tonumber(counts[i + 1])
  end
  local queued = 0
  for _, signature in ipairs(redis.call('HKEYS', K.signatures)) do
    queued = queued + redis.call('ZCARD', K.queue .. signature)
  end
  local function compare(words, said, real)
    if said ~= real then
      tell('counts says ', text_of(said), ' jobs are ', words, ', but there are ', text_of(real))
    end
    return real
  end
  local total = compare('queued', counted.q or 0, queued)
    + compare('scheduled', counted.s or 0, redis.call('ZCARD', K.scheduled))
    + compare('leased', (counted.a or 0) + (counted.p or 0), redis.call('ZCARD', K.leases))
  for letter in pairs(ENDED) do
    local ended = redis.call('ZCARD', K.done .. letter)
    if (counted[letter] or 0) < ended then
      tell('counts says ', text_of(counted[letter] or 0), ' jobs ever were ', STATES[letter], ', but there are ', text_of(ended))
    end
    total = total + ended
  end
  local all = redis.call('ZCARD', K.all)
  if all ~= total then
    tell('all has ', text_of(all), ' jobs, the other indexes have ', text_of(total))
  end
  for _, key in ipairs({ K.jobs, K.bodies }) do
    local has = redis.call('HLEN', key)
    if has ~= all then
      tell(short(key), ' has ', text_of(has), ' jobs, all has ', text_of(all))
    end
  end
end

local what = ARGV[2]
if what == 'sums' then
  check_sums()
end
for i = what == 'index' and 4 or 3, #ARGV do
  if what == 'jobs' then
    check_job(ARGV[i])
  elseif what == 'index' then
    check_entry(ARGV[3], ARGV[i])
  else
    check_machine(ARGV[i])
  end
end
return problems
