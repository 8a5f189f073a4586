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
  for _, part in ipairs({ fence, queue, attempt, deaths, raw }) do reply[#reply + 1] = part end
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
  if not may_push(list) then
    wrong[#wrong + 1] = list
    return {}
  end
  return redis.call('RPOP', list, wish) or {}
end

local found = {}

local function take(queue, wish)
  local before = #found
  for step, suffix in ipairs(STEPS) do
    for _, value in ipairs(pop(OWN .. 'back.' .. queue .. suffix, wish - (#found - before))) do
      local attempt, deaths, at = string.match(value, '^(%d+) (%d+) ()')
      found[#found + 1] = { queue, step, attempt + 1, tonumber(deaths), string.sub(value, at) }
    end
    if #found - before >= wish then break end
    for _, raw in ipairs(pop(queue == '' and '' or P .. queue .. suffix, wish - (#found - before))) do
      found[#found + 1] = { queue, step, 1, 0, raw }
    end
    if #found - before >= wish then break end
  end
  return #found - before
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

if #found > 0 then
  local number = next_number(#found) - #found
  local fences, values, scores = {}, {}, {}
  for place, one in ipairs(found) do
    local queue, step, attempt, deaths, raw = unpack(one)
    local fence = string.format('%.0f', number + place)
    fences[place] = fence
    values[2 * place - 1] = fence
    values[2 * place] = attempt .. ' ' .. deaths .. ' ' .. holder .. ' ' .. step .. ' '
      .. #queue .. ':' .. queue .. ' ' .. raw
    scores[2 * place - 1] = ends
    scores[2 * place] = fence
    tell(fence, queue, attempt, deaths, raw)
  end
  in_chunks('HSET', OWN .. 'leased', values)
  in_chunks('ZADD', OWN .. 'leases', scores)
  redis.call('SET', made, claim .. ' ' .. table.concat(fences, ' '), 'EX', 120)
else
  reply[3] = next_due()
end
return reply
