-- put_record: one state of one task, by the rules of results/base.py. A function for other scripts.
--
-- Keys, in the database of the results: celery-task-meta-<id>, Celery's document, and
-- penstock.result-<id>, what it cannot say: JSON with final, attempt, key, end (wall time).
-- Whoever waits is told on the channel of the first key's name, which all databases share.
-- Gives true when it was stored, false when it was stale. Atomic: all of it or nothing.

local READY = { SUCCESS = true, FAILURE = true, REVOKED = true }

local function is_same(current, own_text)
  local mine = cjson.decode(own_text)
  return current.state == mine.state and current.final == mine.final
end

local function is_stale(meta, own, doc, own_text, key, attempt, now)
  local stored = redis.call('GET', meta)
  if not stored then return false end
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

local function put_record(prefix, home, away, id, doc, own_text, key, attempt, ttl, now)
  if home ~= away then redis.call('SELECT', away) end
  local meta, own = prefix .. 'celery-task-meta-' .. id, prefix .. 'penstock.result-' .. id
  local stale = is_stale(meta, own, doc, own_text, key, tonumber(attempt), now)
  if not stale then
    if ttl == '' then
      redis.call('SET', meta, doc)
      redis.call('SET', own, own_text)
    else
      redis.call('SET', meta, doc, 'PX', ttl)
      redis.call('SET', own, own_text, 'PX', ttl)
    end
    redis.call('PUBLISH', meta, doc)
  end
  if home ~= away then redis.call('SELECT', home) end
  return not stale
end
