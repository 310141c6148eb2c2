-- Writes to one key by several operations of a script leave as one command: a call from Lua costs more than what it does.
-- Only for what the script does not read again; a key is deferred with one command only.
local later, order = {}, {}
-- Lua hands a function some 8,000 arguments at most.
local ARGUMENTS_MOST = 4000

local function defer(command, key, a, b)
  local list = later[key]
  local n = list and #list
  if not list or n > ARGUMENTS_MOST then
    list, n = { command, key }, 2
    later[key] = list
    order[#order + 1] = list
  end
  list[n + 1] = a
  list[n + 2] = b
end

local function write_deferred()
  if #order > 0 then
    for i = 1, #order do
      redis.call(unpack(order[i]))
    end
    later, order = {}, {}
  end
end
