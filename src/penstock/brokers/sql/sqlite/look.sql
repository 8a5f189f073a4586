-- Looking at queues and dead letters, and taking things out of them.

-- name: counts
-- Gives queue, state, count. Each count reads one partial index and no message.
SELECT queue, 0, count(*) FROM message WHERE state = 0 GROUP BY queue
UNION ALL SELECT queue, 1, count(*) FROM message WHERE state = 1 GROUP BY queue
UNION ALL SELECT queue, 2, count(*) FROM message WHERE state >= 2 AND state = 2 GROUP BY queue
UNION ALL SELECT queue, 3, count(*) FROM dead GROUP BY queue;

-- name: oldest
-- Takes a queue. Gives the wall time since which its oldest ready message could run: that of the
-- lowest row number, for numbers are given in the order of arrival.
SELECT max(since, ready_at) FROM message WHERE seq = (
    SELECT min(seq) FROM message WHERE queue = ?1 AND state = 0);

-- name: depth
SELECT (SELECT count(*) FROM message WHERE state = 0 AND queue = ?1)
     + (SELECT count(*) FROM message WHERE state = 1 AND queue = ?1);

-- name: peek_ready
-- Takes queue, limit: what would be leased next, best first.
SELECT key, id, queue, priority, ready_at, expires_at, headers, properties, body
FROM message WHERE queue = ?1 AND state = 0 ORDER BY priority DESC, seq LIMIT ?2;

-- name: peek_delayed
SELECT key, id, queue, priority, ready_at, expires_at, headers, properties, body
FROM message WHERE queue = ?1 AND state = 1 ORDER BY ready_at, seq LIMIT ?2;

-- name: purge
-- Takes boot time now, queue, how many at most. They become tombstones, so that a publication
-- repeated late brings none of them back.
UPDATE message SET state = 3, until = ?1, headers = x'', properties = x'', body = x''
WHERE seq IN (SELECT seq FROM message WHERE queue = ?2 AND state = 0 LIMIT ?3);

-- name: purge_delayed
UPDATE message SET state = 3, until = ?1, headers = x'', properties = x'', body = x''
WHERE seq IN (SELECT seq FROM message WHERE queue = ?2 AND state = 1 LIMIT ?3);

-- name: remove
-- Takes boot time now and a JSON array of ids.
UPDATE message SET state = 3, until = ?1, headers = x'', properties = x'', body = x''
WHERE state IN (0, 1) AND id IN (SELECT value FROM json_each(?2));

-- name: dead
-- Takes queue (NULL: all) and limit; the newest first.
SELECT key, id, queue, priority, ready_at, expires_at, headers, properties, body,
    reason, attempts, dead_at
FROM dead WHERE ?1 IS NULL OR queue = ?1 ORDER BY dead_at DESC, rowid DESC LIMIT ?2;

-- name: replay
-- Takes the new key, wall time now, the key of a dead letter. `drop_dead` follows in the same
-- transaction.
INSERT INTO message (key, id, queue, state, priority, since, ready_at, expires_at,
    headers, properties, body)
SELECT ?1, id, queue, 0, priority, ?2, 0.0, expires_at, headers, properties, body
FROM dead WHERE key = ?3;

-- name: drop_dead
DELETE FROM dead WHERE key = ?1;

-- name: replayed
-- Takes a new key. Gives the message: also when the replay is repeated.
SELECT key, id, queue, priority, ready_at, expires_at, headers, properties, body
FROM message WHERE key = ?1 AND state <> 3;
