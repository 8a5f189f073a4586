-- Behind common.lua. What a Celery worker took and never settled goes back to the head of its list.
-- ARGV: prefix, now, then for each: its tag in `unacked`, the list, the envelope as it comes again.
-- Gives how many were still there.

local count = 0
for at = 3, #ARGV, 3 do
  if may_push(P .. ARGV[at + 1]) then
    local there = redis.call('HDEL', P .. 'unacked', ARGV[at])
    redis.call('ZREM', P .. 'unacked_index', ARGV[at])
    if there == 1 then
      redis.call('RPUSH', P .. ARGV[at + 1], ARGV[at + 2])
      count = count + 1
    end
  end
end
return count
