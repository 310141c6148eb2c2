-- The time of Redis, read once a call: no other clock decides anything.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

-- Lua prints numbers with 14 digits; times in µs and scores have 16. Text for commands and effects: turning a number
-- into text costs as much as the command it is for.
local function digits(number)
  return string.format('%d', number)
end
local now_text = digits(now)
