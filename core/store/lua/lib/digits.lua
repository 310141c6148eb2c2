--- @include "time"
-- Lua prints numbers with 14 digits; times in µs and scores have 16. Turning a number into text, or text into a number,
-- costs as much as a command of Redis: what can stay text does, and what is needed often is made once.
local function digits(number)
  return string.format('%d', number)
end

local now_text = digits(now)
local now_us_text = digits(now_us)

local successors = {}
-- The number after this one, both as text.
local function after(text)
  local successor = successors[text]
  if not successor then
    successor = digits(tonumber(text) + 1)
    successors[text] = successor
  end
  return successor
end
