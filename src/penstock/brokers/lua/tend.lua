-- Behind common.lua. The upkeep: what is due, the leases of dead holders, what is old.
-- ARGV: prefix, now, holder, what is known of it ('' as before), 1 or 0: what a holder's leases
-- count as deaths, then the dead holders.
-- Gives seconds until something is due, '' when nothing waits.

local died = tonumber(ARGV[5])
local DEAD_KEPT = 7 * 86400

may_grow()
said_alive(ARGV[3], ARGV[4])
advance()
for place = 6, #ARGV do
  local holder, freed, cursor = ARGV[place], {}, '0'
  repeat
    local page = redis.call('HSCAN', OWN .. 'leased', cursor, 'COUNT', CHUNK)
    cursor = page[1]
    for at = 1, #page[2], 2 do
      local _, _, whose = held(page[2][at + 1])
      if whose == holder then freed[#freed + 1] = page[2][at] end
    end
  until cursor == '0'
  table.sort(freed, function(a, b) return tonumber(a) > tonumber(b) end)
  local before
  for _, fence in ipairs(freed) do
    if fence ~= before then free(fence, died) end
    before = fence
  end
  redis.call('HDEL', OWN .. 'holders', holder)
  redis.call('DEL', OWN .. 'claim.' .. holder)
end
redis.call('ZREMRANGEBYSCORE', OWN .. 'revoked', '-inf', now)
local old = redis.call('ZRANGEBYSCORE', OWN .. 'dead-at', '-inf', now - DEAD_KEPT, 'LIMIT', 0, CHUNK)
for _, key in ipairs(old) do
  redis.call('ZREM', OWN .. 'dead-at', key)
  redis.call('HDEL', OWN .. 'dead', key)
end
return next_due()
