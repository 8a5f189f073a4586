-- Behind common.lua. The last worker leaves: what only penstock would find goes back into Celery's
-- lists, delays with the eta that their headers tell. ARGV: prefix, now, holder. Gives how many
-- were moved, 0 when all are, or when another worker is there: call again until then.

for _, said in ipairs(redis.call('HVALS', OWN .. 'holders')) do
  local other = cjson.decode(said)
  if other.id ~= ARGV[3] and other.name ~= cjson.null then return 0 end
end
local moved = 0
for _, number in ipairs(redis.call('ZRANGE', OWN .. 'delayed', 0, CHUNK - 1)) do
  local value = redis.call('HGET', OWN .. 'parked', number)
  local _, step, queue, raw = '', 1, '', ''
  if value then _, _, _, step, queue, raw = held(value) end
  local list = P .. queue .. STEPS[step]
  if may_push(list) then
    redis.call('ZREM', OWN .. 'delayed', number)
    redis.call('HDEL', OWN .. 'parked', number)
    if value then
      redis.call('LPUSH', list, raw)
      redis.call('HINCRBY', OWN .. 'parkings', queue, -1)
    end
    moved = moved + 1
  end
end
for _, queue in ipairs(redis.call('SMEMBERS', OWN .. 'queues')) do
  for _, suffix in ipairs(STEPS) do
    while moved < CHUNK and may_push(P .. queue .. suffix) do
      local value = redis.call('LPOP', OWN .. 'back.' .. queue .. suffix)
      if not value then break end
      redis.call('RPUSH', P .. queue .. suffix, string.sub(value, string.match(value, '^%d+ %d+ ()')))
      moved = moved + 1
    end
  end
end
return moved
