-- Behind common.lua and record.lua. Ends leases, and stores the records that come along.
-- ARGV: prefix, now, own database, database of the results, then 15 for each settlement:
--   fence; kind: d done, b back into its place, n a new publication, x dead
--   b, n: queue, step, time, attempts so far, raw ('' as it was)
--   b: "publication queue", for one that was early; x: publication, what is known of it
--   the record's id ('' none), document, what is kept beside it, publication, attempt, milliseconds
-- Gives the places (from 0) of those whose lease was lost; a repeat is not lost.

local home, away = ARGV[3], ARGV[4]
may_grow()
local lost, backs, ended, fresh, records = {}, {}, {}, {}, {}

-- A settlement that comes again finds its bit: what was handed back has another than what ended.
local function ended_bit(fence, kind)
  local number = tonumber(fence)
  local bit = 2 * (number % MILLION) + (kind == 'b' and 1 or 0)
  return OWN .. 'ended.' .. string.format('%.0f', math.floor(number / MILLION)), bit
end

for at = 5, #ARGV, 15 do
  local fence, kind, queue, step, moment, attempts, raw, key, head = unpack(ARGV, at, at + 8)
  local value = not ended[fence] and redis.call('HGET', OWN .. 'leased', fence)
  local bits, bit = ended_bit(fence, kind)
  if not value then
    if redis.call('GETBIT', bits, bit) == 0 then lost[#lost + 1] = (at - 5) / 15 end
  else
    ended[fence] = true
    ended[#ended + 1] = fence
    redis.call('SETBIT', bits, bit, 1)
    fresh[bits] = true
    local attempt, deaths, old_step, old_queue, old_raw
    if kind ~= 'd' then 
      local _
      attempt, deaths, _, old_step, old_queue, old_raw = held(value)
    end
    if kind == 'b' then
      if raw == '' then raw, queue, step = old_raw, old_queue, old_step end
      if attempts ~= '' then attempt = attempts end
      if tonumber(moment) > now then
        park(queue, tonumber(step), moment, attempt, deaths, raw)
        redis.call('ZREM', OWN .. 'soon', key)
      else
        backs[#backs + 1] = { tonumber(fence), queue, tonumber(step), attempt, deaths, raw }
      end
    elseif kind == 'n' then
      if tonumber(moment) > now then
        park(queue, tonumber(step), moment, 0, 0, raw)
      else
        push_new(queue, tonumber(step), raw)
      end
    elseif kind == 'x' then
      redis.call('HSET', OWN .. 'dead', key, #head .. ':' .. head .. old_raw)
      redis.call('ZADD', OWN .. 'dead-at', now, key)
    end
    if ARGV[at + 9] ~= '' then records[#records + 1] = at + 9 end
  end
end
in_chunks('HDEL', OWN .. 'leased', ended)
in_chunks('ZREM', OWN .. 'leases', ended)
for bits in pairs(fresh) do redis.call('EXPIRE', bits, 600) end
put_records(P, home, away, records, now)
table.sort(backs, function(a, b) return a[1] > b[1] end) -- the first that was leased in front
for _, back in ipairs(backs) do push_back(unpack(back, 2)) end
return lost
