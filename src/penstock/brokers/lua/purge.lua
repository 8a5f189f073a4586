-- Behind common.lua. Drops what a queue holds unleased; gives how many. ARGV: prefix, now, queue.

local queue, count = ARGV[3], 0
for _, suffix in ipairs(STEPS) do
  for _, list in ipairs({ OWN .. 'back.' .. queue .. suffix, P .. queue .. suffix }) do
    count = count + redis.call('LLEN', list)
    redis.call('DEL', list)
  end
end
local gone, cursor = {}, '0'
repeat
  local page = redis.call('HSCAN', OWN .. 'parked', cursor, 'COUNT', CHUNK)
  cursor = page[1]
  for at = 1, #page[2], 2 do
    local _, _, _, _, whose = held(page[2][at + 1])
    if whose == queue then gone[#gone + 1] = page[2][at] end
  end
until cursor == '0'
for _, number in ipairs(gone) do
  if redis.call('HDEL', OWN .. 'parked', number) == 1 then count = count + 1 end
  redis.call('ZREM', OWN .. 'delayed', number)
end
redis.call('HDEL', OWN .. 'parkings', queue)
for _, name in ipairs(redis.call('ZRANGE', OWN .. 'soon', 0, -1)) do
  if string.match(name, '^%S+ (.*)$') == queue then redis.call('ZREM', OWN .. 'soon', name) end
end
return count
