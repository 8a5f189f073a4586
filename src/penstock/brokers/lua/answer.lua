-- Behind common.lua. Pushes a note to every list that is bound to its address at a direct exchange.
-- ARGV: prefix, now, exchange, routing key, note. Gives how many lists it went to.

local SEP = '\6\22'
local KEPT = 60 -- seconds: who asked took it long before, or is gone
local count = 0
for _, member in ipairs(redis.call('SMEMBERS', P .. '_kombu.binding.' .. ARGV[3])) do
  local key, queue = string.match(member, '^(.-)' .. SEP .. '.-' .. SEP .. '(.*)$')
  if key == ARGV[4] then
    redis.call('LPUSH', P .. queue, ARGV[5])
    redis.call('EXPIRE', P .. queue, KEPT)
    count = count + 1
  end
end
return count
