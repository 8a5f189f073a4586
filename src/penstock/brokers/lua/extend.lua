-- Behind common.lua. Renews leases that are still held.
-- ARGV: prefix, now, seconds, then the fences. Gives {end, then 1 or 0 for each}.

may_grow()
local ends = now + tonumber(ARGV[3])
local reply = { string.format('%.6f', ends) }
for place = 4, #ARGV do
  local there = redis.call('HEXISTS', OWN .. 'leased', ARGV[place])
  if there == 1 then redis.call('ZADD', OWN .. 'leases', ends, ARGV[place]) end
  reply[#reply + 1] = there
end
return reply
