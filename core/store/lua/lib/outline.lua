-- What lists and watches show of a submission is all but its params. Those may be large, so they are cut out of the body
-- before it leaves Redis. Nothing is decoded.

-- One call reads no more once it has read so much: everybody else waits for it, and then for its reply on the hub's one
-- link. A few ms of both.
local CALL_BYTES = 524288

-- Behind the JSON string that begins at `at`.
local function behind_string(text, at)
  local first
  repeat
    at = string.find(text, '"', at + 1, true)
    first = at
    while string.byte(text, first - 1) == 92 do
      first = first - 1
    end
  until (at - first) % 2 == 0
  return at + 1
end

-- Behind the JSON object that begins at `at`.
local function behind_object(text, at)
  local depth = 0
  repeat
    at = string.find(text, '["{}]', at)
    local char = string.byte(text, at)
    if char == 34 then
      at = behind_string(text, at)
    else
      depth = depth + (char == 123 and 1 or -1)
      at = at + 1
    end
  until depth == 0
  return at
end

-- A body with empty params. Before these stands at most one object, the metadata: names in it must not be taken for ours.
local function outline(body)
  local _, metadata = string.find(body, '^[^{]-"metadata":')
  local at = metadata and metadata + 1 or 1
  if string.byte(body, at) == 123 then
    at = behind_object(body, at)
  end
  local _, params = string.find(body, '"params":', at, true)
  local rest = string.find(body, '\n', params, true)
  return string.sub(body, 1, params) .. '{}' .. (rest and string.sub(body, rest) or '')
end
