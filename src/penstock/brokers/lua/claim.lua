-- Behind common.lua. Leases messages, each queue its share, best first.
-- ARGV: prefix, now, holder, what is known of it ('' as before), number of this claim, '1' when it
-- may have been made before, limit, seconds, then the queues.
-- Gives {end of the leases, how many ids are revoked, seconds until something is due, keys that
-- hold something else, then for each lease: fence, queue, attempt, deaths, raw}.

local holder, claim, repeated = ARGV[3], ARGV[5], ARGV[6] == '1'
local limit, ttl = tonumber(ARGV[7]), tonumber(ARGV[8])
may_grow()
said_alive(holder, ARGV[4])
local ends = now + ttl
local made = OWN .. 'claim.' .. holder
local wrong = {}
local reply = { string.format('%.6f', ends), redis.call('ZCARD', OWN .. 'revoked'), '', wrong }

local function tell(fence, queue, attempt, deaths, raw)
  local last = #reply
  reply[last + 1], reply[last + 2], reply[last + 3] = fence, queue, attempt
  reply[last + 4], reply[last + 5] = deaths, raw
end

if redis.call('EXISTS', OWN .. 'void.' .. holder .. '.' .. claim) == 1 then return reply end
if repeated then
  local before = redis.call('GET', made)
  if before and string.match(before, '^%d+') == claim then
    for fence in string.gmatch(before, ' (%d+)') do
      local value = redis.call('HGET', OWN .. 'leased', fence)
      if value then
        local attempt, deaths, _, _, queue, raw = held(value)
        reply[1] = redis.call('ZSCORE', OWN .. 'leases', fence)
        tell(fence, queue, attempt, deaths, raw)
      end
    end
    if #reply > 4 then return reply end
  end
end

advance()

local function pop(list, wish)
  local found = redis.pcall('RPOP', list, wish) or {}
  if not found.err then return found end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then error(found.err) end
  wrong[#wrong + 1] = list
  return {}
end

-- What was found, part by part: a table for each would cost more than all that is done with it.
local queues, attempts, deaths, heads, raws = {}, {}, {}, {}, {}

local function note(queue, attempt, died, head, raw)
  local place = #raws + 1
  queues[place], attempts[place], deaths[place] = queue, attempt, died
  heads[place], raws[place] = head, raw
end

local function new_of(queue, suffix) return queue == '' and '' or P .. queue .. suffix end

-- Most queues have messages of the first step alone: one command says so of all the others.
local function has_others(queue)
  local lists = {}
  for step = 2, #STEPS do
    lists[2 * step - 3] = OWN .. 'back.' .. queue .. STEPS[step]
    lists[2 * step - 2] = new_of(queue, STEPS[step])
  end
  return redis.call('EXISTS', unpack(lists)) > 0
end

local function take(queue, wish)
  local before = #raws
  for step, suffix in ipairs(STEPS) do
    if step == 2 and not has_others(queue) then break end
    local whose = ' ' .. holder .. ' ' .. step .. ' ' .. #queue .. ':' .. queue .. ' '
    for _, value in ipairs(pop(OWN .. 'back.' .. queue .. suffix, wish - (#raws - before))) do
      local attempt, died, at = string.match(value, '^(%d+) (%d+) ()')
      attempt = attempt + 1
      note(queue, attempt, tonumber(died), attempt .. ' ' .. died .. whose, string.sub(value, at))
    end
    if #raws - before >= wish then break end
    local head = '1 0' .. whose
    for _, raw in ipairs(pop(new_of(queue, suffix), wish - (#raws - before))) do
      note(queue, 1, 0, head, raw)
    end
    if #raws - before >= wish then break end
  end
  return #raws - before
end

local hungry = {}
for place = 9, #ARGV do hungry[#hungry + 1] = ARGV[place] end
while limit > 0 and #hungry > 0 do
  local share, odd = math.floor(limit / #hungry), limit % #hungry
  local left = {}
  for place, queue in ipairs(hungry) do
    local wish = share + (place <= odd and 1 or 0)
    local got = wish > 0 and take(queue, wish) or 0
    limit = limit - got
    if got == wish then left[#left + 1] = queue end
  end
  hungry = left
end

local LONG = string.rep('-', 65)
if #raws > 0 then
  local number = next_number(#raws) - #raws
  local fences, values, scores, until_then = {}, {}, {}, reply[1]
  for place, raw in ipairs(raws) do
    local fence = string.format('%.0f', number + place)
    fences[place] = fence
    values[2 * place - 1], values[2 * place] = fence, heads[place] .. raw
    scores[2 * place - 1], scores[2 * place] = until_then, fence
    tell(fence, queues[place], attempts[place], deaths[place], raw)
  end
  in_chunks('HSET', OWN .. 'leased', values)
  -- Up to 128 short members Redis keeps as a list, and walks through it for each: with a hundred
  -- leases that was two fifths of all it did for a task. A long member makes it a tree for good.
  local many = #raws >= 8
  if many then redis.call('ZADD', OWN .. 'leases', until_then, LONG) end
  in_chunks('ZADD', OWN .. 'leases', scores)
  if many then redis.call('ZREM', OWN .. 'leases', LONG) end
  redis.call('SET', made, claim .. ' ' .. table.concat(fences, ' '), 'EX', 120)
else
  reply[3] = next_due()
end
return reply
