-- Behind common.lua. What a Celery worker took and never settled goes back to the head of its lists.
-- ARGV: prefix, now, then for each: its tag in `unacked`, the envelope as it comes again, how many
-- lists, the lists. Gives how many were still there.

local count, at = 0, 3
while at <= #ARGV do
  local lists, fit = tonumber(ARGV[at + 2]), true
  for place = at + 3, at + 2 + lists do fit = fit and may_push(P .. ARGV[place]) end
  if fit then
    local there = redis.call('HDEL', P .. 'unacked', ARGV[at])
    redis.call('ZREM', P .. 'unacked_index', ARGV[at])
    if there == 1 then
      for place = at + 3, at + 2 + lists do redis.call('RPUSH', P .. ARGV[place], ARGV[at + 1]) end
      count = count + 1
    end
  end
  at = at + 3 + lists
end
return count
