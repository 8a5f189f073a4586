-- Behind common.lua. A claim that nobody waits for any more never was.
-- ARGV: prefix, now, holder, number of the claim.

may_grow()
local before = redis.call('GET', OWN .. 'claim.' .. ARGV[3])
if not before or string.match(before, '^%d+') ~= ARGV[4] then
  redis.call('SET', OWN .. 'void.' .. ARGV[3] .. '.' .. ARGV[4], 1, 'EX', 120) -- it may yet come
  return 0
end
local fences = {}
for fence in string.gmatch(before, ' (%d+)') do table.insert(fences, 1, fence) end
for _, fence in ipairs(fences) do
  local value = redis.call('HGET', OWN .. 'leased', fence)
  if value then
    local attempt, deaths, _, step, queue, raw = held(value)
    redis.call('HDEL', OWN .. 'leased', fence)
    redis.call('ZREM', OWN .. 'leases', fence)
    push_back(queue, step, attempt - 1, deaths, raw)
  end
end
return #fences
