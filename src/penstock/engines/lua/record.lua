-- put_records: states of tasks, by the rules of results/base.py. A function for other scripts.
--
-- Keys, in the database of the results: celery-task-meta-<id>, Celery's document, and
-- penstock.result-<id>, what it cannot say: JSON with final, attempt, key, end (wall time).
-- Whoever waits is told on the channel of the first key's name, which all databases share, and takes
-- the first end that is told for the end.
-- A stale record changes nothing. Atomic: all of it or nothing.

local READY = { SUCCESS = true, FAILURE = true, REVOKED = true }

local function is_same(current, own_text)
  local mine = cjson.decode(own_text)
  return current.state == mine.state and current.final == mine.final
end

local function is_stale(stored, own, doc, own_text, key, attempt, now)
  local known = redis.call('GET', own)
  if not known then -- a Celery worker wrote it: it knows no publications
    local read, theirs = pcall(cjson.decode, stored)
    if not read or type(theirs) ~= 'table' then return false end
    if key == '' then return READY[theirs.status] == true end
    return theirs.status == 'SUCCESS'
  end
  local current = cjson.decode(known)
  if current['end'] ~= cjson.null and current['end'] <= now then return false end
  if stored == doc and current.key == key and current.attempt == attempt
    and is_same(current, own_text) then return false end
  if key == '' then return current.final end
  if key == current.key then return current.final or attempt < current.attempt end
  return current.final and key < current.key
end

-- A task may give itself a state that looks like its end: that is kept, and not told.
local function is_end_or_on_the_way(own_text)
  return string.find(own_text, '"final":true', 1, true) or not READY[cjson.decode(own_text).state]
end

-- records: the places in ARGV where each begins: id, document, what penstock keeps beside it,
-- publication, attempt, milliseconds to live ('' for ever). Gives true for each stale one's place.
local function put_records(prefix, home, away, records, now)
  local stale, stored, written = {}, {}, {}
  if #records == 0 then return stale end
  if home ~= away then redis.call('SELECT', away) end
  for first = 1, #records, 500 do -- one command for all that may be there already
    local metas = {}
    for place = first, math.min(first + 499, #records) do
      metas[#metas + 1] = prefix .. 'celery-task-meta-' .. ARGV[records[place]]
    end
    for place, text in ipairs(redis.call('MGET', unpack(metas))) do
      stored[first + place - 1] = text
    end
  end
  for place, at in ipairs(records) do
    local id, doc, own_text, key, attempt, ttl = unpack(ARGV, at, at + 5)
    local meta, own = prefix .. 'celery-task-meta-' .. id, prefix .. 'penstock.result-' .. id
    local before = stored[place]
    if written[id] then before = redis.call('GET', meta) end
    if before and is_stale(before, own, doc, own_text, key, tonumber(attempt), now) then
      stale[at] = true
    else
      written[id] = true
      if ttl == '' then
        redis.call('SET', meta, doc)
        redis.call('SET', own, own_text)
      else
        redis.call('SET', meta, doc, 'PX', ttl)
        redis.call('SET', own, own_text, 'PX', ttl)
      end
      if is_end_or_on_the_way(own_text) then redis.call('PUBLISH', meta, doc) end
    end
  end
  if home ~= away then redis.call('SELECT', home) end
  return stale
end
