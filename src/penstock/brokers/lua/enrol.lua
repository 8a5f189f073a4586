-- Behind common.lua. A holder takes a worker's name, unless another has it.
-- ARGV: prefix, now, name, holder, what is known of it, the holder that it may replace ('' none).
-- Gives '' when it has it now, else who has it.

local names = OWN .. 'names'
local owner = redis.call('HGET', names, ARGV[3])
if owner and owner ~= ARGV[4] and owner ~= ARGV[6]
  and redis.call('HEXISTS', OWN .. 'holders', owner) == 1 then
  return owner
end
redis.call('HSET', names, ARGV[3], ARGV[4])
redis.call('HSET', OWN .. 'holders', ARGV[4], ARGV[5])
return ''
