-- Behind common.lua. The first that is said on each connection. A server that was started again, or
-- that took over from another, may have lost the last numbers that were given away: it goes on from
-- where none can have been, so that no late write of a holder meets another's message.
-- ARGV: prefix, now.

local fence = redis.call('GET', OWN .. 'fence')
if not fence then return end -- its first number will be its time
local said = redis.pcall('INFO', 'server')
local run = type(said) == 'string' and string.match(said, 'run_id:(%x+)') or ''
if run ~= '' and redis.call('GET', OWN .. 'run') == run then return end
may_grow()
redis.call('SET', OWN .. 'fence', string.format('%.0f', math.max(tonumber(fence), new_start())))
redis.call('SET', OWN .. 'run', run)
