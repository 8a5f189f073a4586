-- Looking at queues and dead letters, and taking things out of them.

-- name: counts
-- Gives queue, state, count. Each count reads one partial index.
SELECT queue, 0, count(*) FROM penstock.message WHERE state = 0 GROUP BY queue
UNION ALL SELECT queue, 1, count(*) FROM penstock.message WHERE state = 1 GROUP BY queue
UNION ALL SELECT queue, 2, count(*) FROM penstock.message WHERE state = 2 GROUP BY queue
UNION ALL SELECT queue, 3, count(*) FROM penstock.dead GROUP BY queue;

-- name: oldest
-- Takes an array of queues. Gives for each the wall time since which its oldest ready message could
-- run.
SELECT q.queue, (SELECT min(greatest(m.since, m.ready_at)) FROM penstock.message AS m
    WHERE m.queue = q.queue AND m.state = 0)
FROM unnest(:queues::text[]) AS q (queue);

-- name: depth
SELECT (SELECT count(*) FROM penstock.message WHERE state = 0 AND queue = :queue)
     + (SELECT count(*) FROM penstock.message WHERE state = 1 AND queue = :queue);

-- name: peek_ready
-- Takes queue, limit: what would be leased next, best first.
SELECT key, id, queue, priority, ready_at, expires_at, headers, properties, body
FROM penstock.message WHERE queue = :queue AND state = 0 ORDER BY priority DESC, seq LIMIT :most;

-- name: peek_delayed
SELECT key, id, queue, priority, ready_at, expires_at, headers, properties, body
FROM penstock.message WHERE queue = :queue AND state = 1 ORDER BY due, seq LIMIT :most;

-- name: purge
-- Takes now, queue, how many of each state at most; gives how many went. They leave tombstones, so
-- that a publication repeated late brings none of them back.
WITH gone AS (
    DELETE FROM penstock.message WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM penstock.message WHERE queue = :queue AND state = 0
        LIMIT :most FOR UPDATE SKIP LOCKED) || ARRAY(
        SELECT ctid FROM penstock.message WHERE queue = :queue AND state = 1
        LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING key, attempt
), noted AS (
    INSERT INTO penstock.done (key, fence, ended_at)
    SELECT key, -1, coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) FROM gone
    ON CONFLICT (key) DO NOTHING
)
SELECT count(*)::int FROM gone;

-- name: remove
-- Takes now and an array of ids.
WITH gone AS (
    DELETE FROM penstock.message WHERE state IN (0, 1) AND id = ANY (:ids::text[])
    RETURNING key
), noted AS (
    INSERT INTO penstock.done (key, fence, ended_at)
    SELECT key, -1, coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) FROM gone
    ON CONFLICT (key) DO NOTHING
)
SELECT count(*)::int FROM gone;

-- name: dead
-- Takes queue (NULL: all) and limit; the newest first.
SELECT key, id, queue, priority, ready_at, expires_at, headers, properties, body,
    reason, attempts, dead_at
FROM penstock.dead WHERE queue = coalesce(:queue, queue)
ORDER BY dead_at DESC, seq DESC LIMIT :most;

-- name: replay
-- Takes arrays of new keys and of the keys of dead letters, and now. A letter is locked and leaves,
-- and a new publication is there in one statement.
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(:fresh::text[], :old::text[]) WITH ORDINALITY AS a (fresh, old, place)
), letter AS (
    DELETE FROM penstock.dead AS d USING wanted AS w
    WHERE d.key = ANY (:old::text[]) AND d.key = w.old
    RETURNING w.place, w.fresh, d.id, d.queue, d.priority, d.expires_at, d.headers, d.properties, d.body
)
INSERT INTO penstock.message (key, id, queue, state, priority, since, ready_at, expires_at, headers,
    properties, body)
SELECT fresh, id, queue, 0, priority,
    coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8), 0, expires_at, headers,
    properties, body
FROM letter ORDER BY place;

-- name: replayed
-- Takes an array of new keys. Gives the messages: also when the replay is repeated.
SELECT key, id, queue, priority, ready_at, expires_at, headers, properties, body
FROM penstock.message WHERE key = ANY (:fresh::text[]) ORDER BY seq;

-- name: drop_dead
-- Takes an array of keys; gives how many went.
WITH gone AS (
    DELETE FROM penstock.dead WHERE key = ANY (:old::text[]) RETURNING 1
)
SELECT count(*)::int FROM gone;
