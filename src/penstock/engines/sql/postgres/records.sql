-- Result records. Used by the result store; the broker stores them within its settlements.

-- name: put_records
-- Takes arrays of ids, states, keys, attempts, finals, ttls and documents, and the wall time now
-- (NULL: the server's). No id may be in it twice. Gives the places (1 first) of those that were
-- refused as stale, with whether exactly this is stored: a repeat. The rules stand in the conflict
-- clause, so that reading the old record and writing the new one cannot be parted.
WITH clock AS MATERIALIZED (
    SELECT coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) AS now
), asked AS MATERIALIZED (
    SELECT * FROM unnest(
        :ids::text[], :states::text[], :keys::text[], :attempts::int[], :finals::bool[],
        :ttls::float8[], :documents::bytea[]
    ) WITH ORDINALITY AS a (id, state, key, attempt, final, ttl, document, place)
), stored AS (
    INSERT INTO penstock.result AS r
        (id, state, key, attempt, final, ttl, expires_at, document)
    SELECT id, state, key, attempt, final, ttl, now + ttl, document FROM asked, clock
    ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, key = excluded.key, attempt = excluded.attempt,
        final = excluded.final, ttl = excluded.ttl, expires_at = excluded.expires_at,
        document = excluded.document
    WHERE r.expires_at <= (SELECT now FROM clock) OR CASE
        WHEN excluded.key = '' THEN NOT r.final
        WHEN excluded.key = r.key THEN NOT r.final AND excluded.attempt >= r.attempt
        ELSE NOT r.final OR excluded.key > r.key
    END
    RETURNING r.id
)
SELECT a.place::int, EXISTS (
    SELECT FROM penstock.result r WHERE r.id = a.id AND r.state = a.state AND r.key = a.key
        AND r.attempt = a.attempt AND r.document = a.document)
FROM asked a WHERE NOT EXISTS (SELECT FROM stored s WHERE s.id = a.id);

-- name: get_records
-- Takes an array of ids and the wall time now (NULL: the server's). Gives those that are there and
-- have not expired.
SELECT id, state, document, key, attempt, final, ttl FROM penstock.result
WHERE id = ANY (:ids::text[]) AND (expires_at IS NULL
    OR expires_at > coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8));

-- name: forget_records
DELETE FROM penstock.result WHERE id = ANY (:ids::text[]);

-- name: prune_results
-- Takes the wall time now and how many at most; gives how many it dropped.
WITH gone AS (
    DELETE FROM penstock.result WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM penstock.result
        WHERE expires_at <= coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8)
        ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: arrive
-- Takes group, member, token, now. The group's row is locked from here on to the end of the
-- transaction, so that members count one after the other. One that came before counts no more.
WITH party AS (
    INSERT INTO penstock.party AS p (name, arrived, changed_at)
    VALUES (:party, 0, coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8))
    ON CONFLICT (name) DO UPDATE SET changed_at = excluded.changed_at
    RETURNING name
)
INSERT INTO penstock.party_member (party, member, token)
SELECT name, :member, :token::bigint FROM party
ON CONFLICT (party, member) DO NOTHING;

-- name: count_member
-- Takes group, member, token: the second step of `arrive`, in the same transaction.
WITH counted AS (
    UPDATE penstock.party SET arrived = arrived + 1 WHERE name = :party AND EXISTS (
        SELECT FROM penstock.party_member
        WHERE party = :party AND member = :member AND token = :token::bigint AND ordinal IS NULL)
    RETURNING arrived
)
UPDATE penstock.party_member SET ordinal = arrived FROM counted
WHERE party = :party AND member = :member;

-- name: arrived
-- Takes group, member, token. Gives which of its group it was, if this call brought it.
SELECT ordinal FROM penstock.party_member
WHERE party = :party AND member = :member AND token = :token::bigint;

-- name: prune_parties
-- Takes the age in seconds at which groups are forgotten, now, and how many at most.
WITH gone AS (
    DELETE FROM penstock.party WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM penstock.party WHERE changed_at
            < coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) - :age
        ORDER BY changed_at LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*) FROM gone;
