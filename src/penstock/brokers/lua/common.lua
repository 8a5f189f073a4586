-- What every script of the broker begins with. ARGV[1]: prefix of all keys, ARGV[2]: wall time
-- ('': the server's own clock).
--
-- Keys (behind the prefix; <queue> and <queue>\6\22<step> are Celery's lists):
--   penstock.back.<queue>[step]  what came back, before what is new: "attempt deaths raw"
--   penstock.leased   fence -> "attempt deaths holder step length:queue raw"
--   penstock.leases   fences by the end of their leases
--   penstock.parked   number -> "attempt deaths step length:queue raw"
--   penstock.delayed  the same numbers by the time they are due
--   penstock.soon     "publication queue" of early messages that lie in Celery's lists, by that time
--   penstock.fence    the last number that was given to a lease or a parked message
--   penstock.run      the server's own id when it last was greeted, see greet.lua
--   penstock.ended.<n>  two bits for each settled fence
--   penstock.claim.<holder>  its last claim and the fences that it got
--   penstock.void.<holder>.<claim>  that claim was given up before it came

local P, now = ARGV[1], tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end

local OWN = P .. 'penstock.'

-- A server whose memory is full refuses what may need more, unless the script wrote before: what
-- frees memory in the end, such as a claim, must not be refused half-way or at all.
local function may_grow() redis.call('DEL', OWN .. 'nothing') end

local STEPS = { '', '\6\0223', '\6\0226', '\6\0229' }
local CHUNK = 1000
local MILLION = 1048576

-- One command for many words: a command costs as much as several of its words do.
local function in_chunks(command, key, words)
  for first = 1, #words, CHUNK do
    redis.call(command, key, unpack(words, first, math.min(first + CHUNK - 1, #words)))
  end
end

local function held(value) -- attempt, deaths, holder, step, queue, raw
  local attempt, deaths, holder, step, length, at =
    string.match(value, '^(%d+) (%d+) (%S+) (%d) (%d+):()')
  local queue = string.sub(value, at, at + length - 1)
  return tonumber(attempt), tonumber(deaths), holder, tonumber(step), queue,
    string.sub(value, at + length + 1)
end

local function push_back(queue, step, attempt, deaths, raw)
  local back = OWN .. 'back.' .. queue .. STEPS[step]
  redis.call('RPUSH', back, attempt .. ' ' .. deaths .. ' ' .. raw)
  redis.call('SADD', OWN .. 'queues', queue)
end

local function may_push(list) -- false where the key holds something else
  local kind = redis.call('TYPE', list).ok
  return kind == 'none' or kind == 'list'
end

local function push_new(queue, step, raw) -- a new publication; it waits in our list if it must
  local list = P .. queue .. STEPS[step]
  if may_push(list) then redis.call('LPUSH', list, raw) else push_back(queue, step, 0, 0, raw) end
end

local function said_alive(holder, said) -- '' when it need not
  if said ~= '' then redis.call('HSET', OWN .. 'holders', holder, said) end
end

-- More than a million leases a second would be needed to be ahead of it.
local function new_start() return math.floor(now * 1000000) end

local function next_number(count)
  local last = redis.call('INCRBY', OWN .. 'fence', count)
  if last == count then -- a new server: no number that an earlier one gave shall come again
    last = new_start() + count
    redis.call('SET', OWN .. 'fence', string.format('%.0f', last))
  end
  return last
end

local function park(queue, step, at, attempt, deaths, raw)
  local number = string.format('%.0f', next_number(1))
  redis.call('ZADD', OWN .. 'delayed', at, number)
  redis.call('HSET', OWN .. 'parked', number,
    attempt .. ' ' .. deaths .. ' - ' .. step .. ' ' .. #queue .. ':' .. queue .. ' ' .. raw)
  redis.call('HINCRBY', OWN .. 'parkings', queue, 1)
end

local function free(fence, died)
  local value = redis.call('HGET', OWN .. 'leased', fence)
  redis.call('HDEL', OWN .. 'leased', fence)
  redis.call('ZREM', OWN .. 'leases', fence)
  if not value then return false end
  local attempt, deaths, _, step, queue, raw = held(value)
  push_back(queue, step, attempt, deaths + died, raw)
  return true
end

-- Delays that are due, and leases that have ended, go back to their queues, oldest in front.
local function advance()
  local due = redis.call('ZRANGEBYSCORE', OWN .. 'delayed', '-inf', now, 'LIMIT', 0, CHUNK)
  for place = #due, 1, -1 do
    local value = redis.call('HGET', OWN .. 'parked', due[place])
    redis.call('ZREM', OWN .. 'delayed', due[place])
    redis.call('HDEL', OWN .. 'parked', due[place])
    if value then
      local attempt, deaths, _, step, queue, raw = held(value)
      push_back(queue, step, attempt, deaths, raw)
      redis.call('HINCRBY', OWN .. 'parkings', queue, -1)
    end
  end
  local ended = redis.call('ZRANGEBYSCORE', OWN .. 'leases', '-inf', now, 'LIMIT', 0, CHUNK)
  table.sort(ended, function(a, b) return tonumber(a) > tonumber(b) end)
  for _, fence in ipairs(ended) do free(fence, 1) end
end

local function next_due() -- seconds as text, '' when nothing waits
  local first
  redis.call('ZREMRANGEBYSCORE', OWN .. 'soon', '-inf', now)
  for _, name in ipairs({ 'delayed', 'leases', 'soon' }) do
    local score = tonumber(redis.call('ZRANGE', OWN .. name, 0, 0, 'WITHSCORES')[2])
    if score and (not first or score < first) then first = score end
  end
  return first and string.format('%.6f', math.max(0, first - now)) or ''
end
