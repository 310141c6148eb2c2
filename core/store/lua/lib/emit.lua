--- @include "job"
-- Tells hubs what happened. An effect is one text: kind, ref, seq, at, attempt and up to three more, by line
-- (JSON texts have no raw line breaks). Between two of them stands the character 30, which is in no JSON either. The hub
-- that runs the script gets its effects with the reply, the others on their own channels. Pub/sub is a hint: the truth is
-- the record with its seq.
local ME = ARGV[1]
-- Short enough for each record. A hub that takes another's for its own asks Redis for a body it has not kept.
local MARK = string.sub(ME, -4)
local effects = {}

-- Who hears of this kind of event: level 1 wants a job's end, 2 the default, 3 all.
local function level_for(kind)
  if kind == 'job_completed' or kind == 'job_failed' or kind == 'job_cancelled' or kind == 'job_expired' then
    return 1
  elseif kind == 'job_queued' or kind == 'job_scheduled' or kind == 'job_assigned' then
    return 3
  end
  return 2
end

-- `tail` is for the others: the result of a job, which the hub that runs the script has at hand.
local for_others = {}
local function send(hub, text, tail)
  if hub == ME then
    effects[#effects + 1] = text
  else
    local texts = for_others[hub] or {}
    texts[#texts + 1] = tail and text .. '\n' .. tail or text
    for_others[hub] = texts
  end
end

-- What the hub that runs the script is told, as one text: Redis and hub read that in half the time of a list.
local function effects_text()
  return table.concat(effects, '\30')
end

-- One message a hub and script call: each costs the sender and the receiver as much as a small job.
local function tell_others()
  for hub, texts in pairs(for_others) do
    redis.call('PUBLISH', K.hub .. hub, table.concat(texts, '\30'))
  end
end

-- The hubs that want to hear of this kind of event, each once. Jobs of one call mostly have the same watchers.
local known_listeners = {}
local monitors
local function listeners(job, kind)
  local watching, need = job.w, level_for(kind)
  local known = known_listeners[watching] or {}
  known_listeners[watching] = known
  if known[need] then
    return known[need]
  end
  local hubs, seen = {}, {}
  for level, hub in string.gmatch(watching, '(%d)([^,]+)') do
    if tonumber(level) >= need then
      hubs[#hubs + 1] = hub
      seen[hub] = true
    end
  end
  monitors = monitors or redis.call('SMEMBERS', K.monitors)
  for _, hub in ipairs(monitors) do
    if not seen[hub] then
      hubs[#hubs + 1] = hub
    end
  end
  known[need] = hubs
  return hubs
end

-- Sends an event with the seq reached so far. Numbers among its fields come as text.
local function tell(ref, job, kind, a, b, c, tail)
  local hubs = listeners(job, kind)
  if #hubs > 0 then
    local text = kind .. '\n' .. ref .. '\n' .. job.n .. '\n' .. now_text .. '\n' .. job.at .. '\n' .. (a or '') .. '\n'
      .. (b or '') .. '\n' .. (c or '')
    for i = 1, #hubs do
      send(hubs[i], text, tail)
    end
  end
end

-- A state change: raises seq, then tells.
local function emit(ref, job, kind, a, b, c, tail)
  local seq = next_seq(job)
  tell(ref, job, kind, a, b, c, tail)
  return seq
end

-- Remembers that a hub watches, at the higher of both levels.
local function add_watch(job, hub, level)
  local kept = {}
  for old, other in string.gmatch(job.w, '(%d)([^,]+)') do
    if other ~= hub then
      kept[#kept + 1] = old .. other
    elseif tonumber(old) > level then
      level = tonumber(old)
    end
  end
  kept[#kept + 1] = level .. hub
  job.w = table.concat(kept, ',')
end

-- An order for the worker that holds the job's lease goes to the hub that has its machine.
local function order_worker(ref, job, kind, a, b)
  local machine = string.match(job.lw, '^(.*):gpu%d+$')
  local conn = redis.call('HGET', K.machine .. machine, 'conn')
  if conn then
    send(string.match(conn, '^[^:]+'), table.concat({ kind, ref, job.n, now_text, job.at, job.lw, job.l, a or '', b or '' }, '\n'))
  end
end

-- Counts by type and state, written once at the end of the script.
local deltas, unfinished = {}, {}
local function count(job, letter, by)
  local of_type = deltas[job.ty]
  if not of_type then
    of_type = {}
    deltas[job.ty] = of_type
  end
  of_type[letter] = (of_type[letter] or 0) + by
end

local function set_state(job, letter)
  if job.st ~= '' then
    count(job, job.st, -1)
  end
  -- A job that is delayed or leased may come back to its queue: its signature is in use until it ends.
  local by = (ENDED[letter] and 0 or 1) - (job.st ~= '' and 1 or 0)
  if by ~= 0 then
    unfinished[job.sg] = (unfinished[job.sg] or 0) + by
  end
  job.st = letter
  count(job, letter, 1)
end

local function add_count(key, field, by)
  if by ~= 0 and redis.call('HINCRBY', key, field, by) == 0 then
    redis.call('HDEL', key, field)
  end
end

local function save_counts()
  for job_type, of_type in pairs(deltas) do
    for letter, by in pairs(of_type) do
      add_count(K.counts, job_type .. ' ' .. letter, by)
    end
  end
  for signature, by in pairs(unfinished) do
    add_count(K.unfinished, signature, by)
  end
end
