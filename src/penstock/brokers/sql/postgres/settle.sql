-- Leases end. A settlement is one statement, put together from these parts: the time, one of the
-- endings, the tombstone, the records, and how many were ended. So a message's end, what takes its
-- place and its result are written together or not at all. Every ending takes arrays of keys, in which
-- none is twice, and of fences: a stale one finds no row, and then nothing is written for it.
--
-- Rows are found by `key = ANY`, and their place among those asked by `array_position`: a join with
-- what was asked for is planned by how many rows there were at some time, and a plan made while there
-- were few compares every row with every key later. `state + 0`: or the index of all that is leased
-- looks shorter than it will be.

-- name: clock
-- Takes the wall time now (NULL: the server's).
WITH clock AS MATERIALIZED (
    SELECT coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) AS now
)

-- name: end_done
, ended AS (
    DELETE FROM penstock.message AS m
    WHERE m.key = ANY (:keys::text[]) AND m.state + 0 = 2
        AND m.attempt = (:fences::int[])[array_position(:keys::text[], m.key)]
    RETURNING array_position(:keys::text[], m.key) AS place, m.key, m.attempt
)

-- name: end_dead
-- Takes an array of reasons. The message goes to the dead letters.
, ended AS (
    DELETE FROM penstock.message AS m
    WHERE m.key = ANY (:keys::text[]) AND m.state + 0 = 2
        AND m.attempt = (:fences::int[])[array_position(:keys::text[], m.key)]
    RETURNING array_position(:keys::text[], m.key) AS place, m.key, m.attempt, m.priority,
        m.ready_at, m.expires_at, m.queue, m.id, m.headers, m.properties, m.body
), buried AS (
    INSERT INTO penstock.dead (key, dead_at, attempts, priority, ready_at, expires_at, queue, id,
        reason, headers, properties, body)
    SELECT e.key, clock.now, e.attempt, e.priority, e.ready_at, e.expires_at, e.queue, e.id,
        r.reason, e.headers, e.properties, e.body
    FROM clock, ended AS e JOIN unnest(:reasons::text[]) WITH ORDINALITY AS r (reason, place)
        USING (place)
)

-- name: end_again
-- Takes arrays, one entry for each: the new publications that take the place of those that end.
, ended AS (
    DELETE FROM penstock.message AS m
    WHERE m.key = ANY (:keys::text[]) AND m.state + 0 = 2
        AND m.attempt = (:fences::int[])[array_position(:keys::text[], m.key)]
    RETURNING array_position(:keys::text[], m.key) AS place, m.key, m.attempt
), published AS (
    INSERT INTO penstock.message (key, id, queue, state, priority, since, ready_at, due, expires_at,
        headers, properties, body)
    SELECT n.key, n.id, n.queue, n.state, n.priority, n.since, n.ready_at,
        CASE n.state WHEN 1 THEN n.ready_at END, n.expires_at, n.headers, n.properties, n.body
    FROM ended JOIN unnest(
        :new_keys::text[], :ids::text[], :queues::text[], :states::int[], :priorities::int[],
        :sinces::float8[], :readies::float8[], :expires::float8[], :headers::text[],
        :properties::text[], :bodies::bytea[]
    ) WITH ORDINALITY AS n (key, id, queue, state, priority, since, ready_at, expires_at, headers,
        properties, body, place) USING (place)
    ON CONFLICT (key) DO NOTHING
)

-- name: end_back
-- Takes arrays, one entry for each: what the messages say from now on. The same publication waits
-- again, at its old place: its `seq` stays.
, ended AS (
    UPDATE penstock.message AS m SET
        state = n.state, holder = NULL, claim = NULL, returned = m.attempt,
        due = CASE n.state WHEN 1 THEN n.ready_at END, priority = n.priority,
        since = greatest(m.since, n.ready_at), ready_at = n.ready_at, expires_at = n.expires_at,
        queue = n.queue, id = n.id, headers = n.headers, properties = n.properties, body = n.body
    FROM unnest(
        :fences::int[], :new_keys::text[], :ids::text[], :queues::text[], :states::int[],
        :priorities::int[], :sinces::float8[], :readies::float8[], :expires::float8[],
        :headers::text[], :properties::text[], :bodies::bytea[]
    ) WITH ORDINALITY AS n (fence, key, id, queue, state, priority, since, ready_at, expires_at,
        headers, properties, body, place)
    WHERE m.key = ANY (:new_keys::text[]) AND m.state + 0 = 2
        AND m.key = n.key AND m.attempt = n.fence
    RETURNING n.place, m.key, m.attempt
)

-- name: noted
-- What is left of those that are over: a repeated publication or settlement finds it.
, noted AS (
    INSERT INTO penstock.done (key, fence, ended_at) SELECT key, attempt, now FROM ended, clock
    ON CONFLICT (key) DO NOTHING
)

-- name: stored
-- Takes arrays, one entry for each: their records, where the id is NULL there is none. No id is in it
-- twice. The rules are those of `put_records`.
, stored AS (
    INSERT INTO penstock.result AS r
        (id, state, key, attempt, final, ttl, expires_at, document)
    SELECT n.id, n.state, n.key, n.attempt, n.final, n.ttl, clock.now + n.ttl, n.document
    FROM clock, ended JOIN unnest(
        :record_ids::text[], :record_states::text[], :record_keys::text[], :record_attempts::int[],
        :record_finals::bool[], :record_ttls::float8[], :record_documents::bytea[]
    ) WITH ORDINALITY AS n (id, state, key, attempt, final, ttl, document, place) USING (place)
    WHERE n.id IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, key = excluded.key, attempt = excluded.attempt,
        final = excluded.final, ttl = excluded.ttl, expires_at = excluded.expires_at,
        document = excluded.document
    WHERE r.expires_at <= (SELECT now FROM clock) OR CASE
        WHEN excluded.key = '' THEN NOT r.final
        WHEN excluded.key = r.key THEN NOT r.final AND excluded.attempt >= r.attempt
        ELSE NOT r.final OR excluded.key > r.key
    END
)

-- name: counted
SELECT count(*)::int FROM ended;

-- name: ended_by
-- Takes arrays of keys and fences. Gives the places (1 first) of those that were ended by that very
-- fence, now or when the same was asked before: all others are lost.
SELECT array_position(:keys::text[], d.key) FROM penstock.done AS d
WHERE d.key = ANY (:keys::text[])
    AND d.fence = (:fences::int[])[array_position(:keys::text[], d.key)];

-- name: returned_by
-- The same for what was handed back, also when it has been leased again since.
SELECT array_position(:keys::text[], m.key) FROM penstock.message AS m
WHERE m.key = ANY (:keys::text[])
    AND m.returned = (:fences::int[])[array_position(:keys::text[], m.key)];
