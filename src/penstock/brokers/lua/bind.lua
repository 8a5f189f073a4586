-- Behind common.lua. Binds a list to a direct exchange, as Celery does it for a queue that expires.
-- ARGV: prefix, now, exchange, binding, seconds after which Celery may sweep it.

redis.call('SADD', P .. '_kombu.binding.' .. ARGV[3], ARGV[4])
local deadline = string.format('%.0f', (now + ARGV[5]) * 1000)
redis.call('ZADD', P .. '_kombu.binding_deadlines', 'GT', deadline, ARGV[3])
return 1
