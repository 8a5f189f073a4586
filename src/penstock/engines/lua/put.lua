-- Behind record.lua. Stores records; gives the places (from 0) of those that were stale.
-- ARGV: prefix, wall time ('': the server's), then for each record: id, document, what penstock
-- keeps beside it, publication, attempt, milliseconds to live ('' for ever).

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
local records, stale = {}, {}
for at = 3, #ARGV, 6 do records[#records + 1] = at end
for at in pairs(put_records(ARGV[1], '', '', records, now)) do
  stale[#stale + 1] = (at - 3) / 6
end
table.sort(stale)
return stale
