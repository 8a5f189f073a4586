-- Behind common.lua. Tells something to all who listen; news are ordered by the microsecond.
-- ARGV: prefix, now, payload, how many to keep, [channel in which to say it as well]. Gives how many
-- heard it there.

local news = OWN .. 'news'
local time = redis.call('TIME')
local moment = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('ZRANGE', news, -1, -1, 'WITHSCORES')[2])
if last and moment <= last then moment = last + 1 end
local text = string.format('%.0f', moment)
redis.call('ZADD', news, text, text .. ' ' .. ARGV[3])
redis.call('ZREMRANGEBYRANK', news, 0, -ARGV[4] - 1)
return ARGV[5] and redis.call('PUBLISH', ARGV[5], ARGV[3]) or 0
