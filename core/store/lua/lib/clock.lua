--- @include "digits"
-- Arrival numbers: µs since 2026-01-01, made strictly growing, so that first come first served holds at any
-- rate, across hubs, and when the clock of Redis goes back.
local EPOCH_US = 1767225600000000
local last_arrival

local function next_arrival()
  last_arrival = last_arrival or tonumber(redis.call('GET', K.clock) or 0)
  last_arrival = math.max(last_arrival + 1, now_us - EPOCH_US)
  return last_arrival
end

-- Call once at the end of each script that may have taken an arrival number.
local function save_clock()
  if last_arrival then
    redis.call('SET', K.clock, digits(last_arrival))
  end
end
