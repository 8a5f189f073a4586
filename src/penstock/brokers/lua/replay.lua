-- Behind common.lua. Dead letters become new publications. ARGV: prefix, now, then for each: the
-- dead publication, queue, step, raw. Gives 1 for each that was there.

local reply = {}
for at = 3, #ARGV, 4 do
  local there = redis.call('HDEL', OWN .. 'dead', ARGV[at])
  if there == 1 then
    redis.call('ZREM', OWN .. 'dead-at', ARGV[at])
    push_new(ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3])
  end
  reply[#reply + 1] = there
end
return reply
