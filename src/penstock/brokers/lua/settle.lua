-- Behind common.lua and record.lua. Ends leases, and stores the records that come along.
-- ARGV: prefix, now, own database, database of the results, then for each settlement (500 at most):
--   fence; kind: d done, b back into its place, n a new publication, x dead; 1 where a record comes
--   b, n, x: queue, step, time, attempts so far, raw ('' as it was), and two more words:
--     b: "publication queue", for one that was early; x: publication, what is known of it
--   the record: id, document, what is kept beside it, publication, attempt, milliseconds
-- Gives the places (from 0) of those whose lease was lost; a repeat is not lost.

local home, away = ARGV[3], ARGV[4]
may_grow()
local lost, backs, ended, fresh, records = {}, {}, {}, {}, {}

-- A settlement that comes again finds its bit: what was handed back has another than what ended.
local million, prefix
local function ended_bit(fence, kind)
  local number = tonumber(fence)
  local which = math.floor(number / MILLION)
  if which ~= million then
    million, prefix = which, OWN .. 'ended.' .. string.format('%.0f', which)
  end
  return prefix, 2 * (number - which * MILLION) + (kind == 'b' and 1 or 0)
end

-- One command for all: it costs as much as several fences do.
local starts, fences = {}, {}
local at = 5
while at <= #ARGV do
  starts[#starts + 1] = at
  fences[#fences + 1] = ARGV[at]
  at = at + 3 + (ARGV[at + 1] == 'd' and 0 or 7) + (ARGV[at + 2] == '1' and 6 or 0)
end
local values = #fences > 0 and redis.call('HMGET', OWN .. 'leased', unpack(fences)) or {}

for place, start in ipairs(starts) do
  local fence, kind, record = ARGV[start], ARGV[start + 1], start + 3
  local value, before = values[place], ended[fence]
  local bits, bit = ended_bit(fence, kind)
  if kind ~= 'd' then record = record + 7 end
  if before then -- twice in one call
    if before ~= bit then lost[#lost + 1] = place - 1 end
  elseif not value then
    if redis.call('GETBIT', bits, bit) == 0 then lost[#lost + 1] = place - 1 end
  else
    ended[fence] = bit
    ended[#ended + 1] = fence
    local marks = fresh[bits] or {}
    fresh[bits] = marks
    marks[#marks + 1] = bit
    if kind ~= 'd' then
      local queue, step, moment, attempts, raw, key, head = unpack(ARGV, start + 3, start + 9)
      local attempt, deaths, _, old_step, old_queue, old_raw = held(value)
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
    end
    if ARGV[start + 2] == '1' then records[#records + 1] = record end
  end
end
for bits, marks in pairs(fresh) do
  local words = {}
  for place, bit in ipairs(marks) do
    words[4 * place - 3], words[4 * place - 2] = 'SET', 'u1'
    words[4 * place - 1], words[4 * place] = string.format('%.0f', bit), '1'
  end
  in_chunks('BITFIELD', bits, words)
  redis.call('EXPIRE', bits, 600)
end
in_chunks('HDEL', OWN .. 'leased', ended)
in_chunks('ZREM', OWN .. 'leases', ended)
put_records(P, home, away, records, now)
table.sort(backs, function(a, b) return a[1] > b[1] end) -- the first that was leased in front
for _, back in ipairs(backs) do push_back(unpack(back, 2)) end
return lost
