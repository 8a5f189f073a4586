-- Messages change hands. A lease is the row itself: who holds it, until when, as which attempt.

-- name: advance
-- Takes the wall time now (NULL: the server's), and the seconds of grace after the server's start.
-- Before each claim: delays that are due, and leases that ended, are ready, each at its old place; the
-- holders of those count as dead. Two look-ups in indexes where there is none; rows that another
-- transaction is at are left to it. While the server was away nobody could renew a lease: so none
-- ends before those who lived through it have had the time to come back.
WITH ended AS MATERIALIZED (
    SELECT ctid AS place FROM penstock.message
    WHERE state = 2 AND due <= coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8)
        AND (:now::float8 IS NOT NULL OR extract(epoch FROM
            statement_timestamp() - pg_postmaster_start_time()) >= :grace::float8)
    ORDER BY due LIMIT 1000 FOR UPDATE SKIP LOCKED
), delayed AS MATERIALIZED (
    SELECT ctid AS place FROM penstock.message
    WHERE state = 1 AND due <= coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8)
    ORDER BY due LIMIT 1000 FOR UPDATE SKIP LOCKED
), found AS (
    SELECT place FROM ended UNION ALL SELECT place FROM delayed
)
UPDATE penstock.message AS m
SET state = 0, deaths = m.deaths + (m.state = 2)::int, holder = NULL, claim = NULL, due = NULL
FROM found WHERE m.ctid = found.place;

-- name: claim
-- Takes queue, limit, holder, claim, ttl in seconds, now, and whether this is asked again: then what
-- the claim has already stands for it. One statement takes the best messages that nobody else is
-- taking and marks them as leased: there is no moment in which one is nobody's.
WITH clock AS MATERIALIZED (
    SELECT coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) AS now
), next AS MATERIALIZED (
    SELECT ctid AS place FROM penstock.message WHERE queue = :queue AND state = 0
    ORDER BY priority DESC, seq LIMIT (CASE WHEN :again AND EXISTS (
            SELECT FROM penstock.message WHERE state = 2 AND holder = :holder AND claim = :claim)
            THEN 0 ELSE :most END) FOR UPDATE SKIP LOCKED
)
UPDATE penstock.message AS m
SET state = 2, attempt = m.attempt + 1, holder = :holder, claim = :claim, due = clock.now + :ttl
FROM next, clock WHERE m.ctid = next.place
RETURNING m.seq, m.key, m.id, m.queue, m.priority, m.attempt, m.deaths, m.due, m.ready_at,
    m.expires_at, m.headers, m.properties, m.body,
    EXISTS (SELECT FROM penstock.revoked AS r WHERE r.id = m.id AND r.until_at > clock.now);

-- name: claim_from
-- As `claim`, from several queues in turn: each has its share of the limit, and what one leaves goes
-- to the others. Shares are counted before anything is locked, so that only what is taken is; how
-- many were counted stands at the end of each row.
WITH clock AS MATERIALIZED (
    SELECT coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) AS now
), there AS MATERIALIZED (
    SELECT q.queue, q.turn, (SELECT count(*) FROM (
        SELECT FROM penstock.message AS m WHERE m.queue = q.queue AND m.state = 0 LIMIT :most) AS x) AS many
    FROM unnest(:queues::text[]) WITH ORDINALITY AS q (queue, turn)
), share AS MATERIALIZED (
    SELECT queue, count(*) AS many FROM (
        SELECT t.queue FROM there AS t, generate_series(1, t.many) AS round
        ORDER BY round, t.turn LIMIT (CASE WHEN :again AND EXISTS (
            SELECT FROM penstock.message WHERE state = 2 AND holder = :holder AND claim = :claim)
            THEN 0 ELSE :most END)) AS dealt
    GROUP BY queue
), next AS MATERIALIZED (
    SELECT n.place FROM share, LATERAL (
        SELECT m.ctid AS place FROM penstock.message AS m WHERE m.queue = share.queue AND m.state = 0
        ORDER BY m.priority DESC, m.seq LIMIT share.many FOR UPDATE SKIP LOCKED) AS n
)
UPDATE penstock.message AS m
SET state = 2, attempt = m.attempt + 1, holder = :holder, claim = :claim, due = clock.now + :ttl
FROM next, clock WHERE m.ctid = next.place
RETURNING m.seq, m.key, m.id, m.queue, m.priority, m.attempt, m.deaths, m.due, m.ready_at,
    m.expires_at, m.headers, m.properties, m.body,
    EXISTS (SELECT FROM penstock.revoked AS r WHERE r.id = m.id AND r.until_at > clock.now),
    (SELECT sum(many)::int FROM there);

-- name: claimed
-- Takes holder, claim, now. Gives what that claim leased, when it is asked once more.
SELECT m.seq, m.key, m.id, m.queue, m.priority, m.attempt, m.deaths, m.due, m.ready_at,
    m.expires_at, m.headers, m.properties, m.body,
    EXISTS (SELECT FROM penstock.revoked AS r WHERE r.id = m.id AND r.until_at
        > coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8))
FROM penstock.message AS m WHERE m.state = 2 AND m.holder = :holder AND m.claim = :claim;

-- name: unclaim
-- Takes holder, an array of claims. Gives back what claims leased whose reply nobody has.
UPDATE penstock.message SET state = 0, holder = NULL, claim = NULL, due = NULL
WHERE state = 2 AND holder = :holder AND claim = ANY (:claims::bigint[]);

-- name: extend
-- Takes arrays of keys, in which none is twice, and of fences, ttl, now. Gives the places (1 first) of
-- those still held, and until when. Rows are found as settlements find them (`settle.sql`).
UPDATE penstock.message AS m
SET due = coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) + :ttl
WHERE m.key = ANY (:keys::text[]) AND m.state + 0 = 2
    AND m.attempt = (:fences::int[])[array_position(:keys::text[], m.key)]
RETURNING array_position(:keys::text[], m.key), m.due;
