--- @include "digits"
-- What is left of ended jobs, so that an id runs once for a while, also after its job was trimmed: `tomb` has it by ref,
-- `tombs` the order in which they ended, each entry the seq of the end and the ref.

-- A tombstone of a job that ended before this seq is over.
local tombs_over = digits(now_us - IDEMPOTENCY_MS * 1000)

-- Fingerprint, state letter, seq and created_at of a tombstone; nothing when it is over.
local function read_tomb(text)
  local fingerprint, state, seq, created = string.match(text, '^(%S+) (%S) (%d+) (%d+)$')
  if seq >= tombs_over then
    return fingerprint, state, seq, created
  end
end

-- These entries are over. An id may have come back since, and ended again: then its tombstone is younger, and stays.
local function forget_tombs(entries)
  local seqs, refs, gone = {}, {}, {}
  for i, entry in ipairs(entries) do
    seqs[i], refs[i] = string.match(entry, '^(%d+) (.*)$')
  end
  local tombs = redis.call('HMGET', K.tomb, unpack(refs))
  for i, ref in ipairs(refs) do
    if tombs[i] and string.find(tombs[i], ' ' .. seqs[i] .. ' ', 1, true) then
      gone[#gone + 1] = ref
    end
  end
  if #gone > 0 then
    redis.call('HDEL', K.tomb, unpack(gone))
  end
end
