-- The time of Redis plus what a test let pass (key `test_offset_ms`), so that leases run out without waiting.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2] + 1000 * tonumber(redis.call('GET', 'test_offset_ms') or 0)
local now = math.floor(now_us / 1000)
