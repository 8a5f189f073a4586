-- Leases end. Every statement names the fence: a stale one finds no row and changes nothing:
-- `changes()` says so afterwards, in half the time that RETURNING takes.

-- name: done
-- Takes boot time now, key, fence. What is left is a tombstone.
UPDATE message
SET state = 3, holder = NULL, until = ?1, headers = x'', properties = x'', body = x''
WHERE key = ?2 AND attempt = ?3 AND state = 2;

-- name: bury
-- Takes wall time now, reason, key, fence. Copies the message to the dead letters; `done` follows
-- in the same transaction.
INSERT INTO dead (key, dead_at, attempts, priority, ready_at, expires_at, queue, id, reason,
    headers, properties, body)
SELECT key, ?1, attempt, priority, ready_at, expires_at, queue, id, ?2, headers, properties, body
FROM message WHERE key = ?3 AND attempt = ?4 AND state = 2;

-- name: hand_back
-- Takes state (0 or 1), priority, ready_at, expires_at, queue, id, headers, properties, body, key,
-- fence. The same publication waits again, at its old place: its row number stays.
UPDATE message
SET state = ?1, holder = NULL, until = NULL, claim = NULL, returned = ?11,
    priority = ?2, since = max(since, ?3),
    ready_at = ?3, expires_at = ?4, queue = ?5, id = ?6, headers = ?7, properties = ?8, body = ?9
WHERE key = ?10 AND attempt = ?11 AND state = 2;

-- name: was_settled
-- Takes key, fence. Gives a row if that very fence has ended the publication: a repeat.
SELECT 1 FROM message WHERE key = ?1 AND attempt = ?2 AND state = 3;

-- name: was_handed_back
-- Takes key, fence. Gives a row if that very fence has handed it back: a repeat, also when the
-- same message has been leased again since.
SELECT 1 FROM message WHERE key = ?1 AND returned = ?2;
