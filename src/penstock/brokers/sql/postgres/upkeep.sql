-- What time does to messages, and what is thrown away.

-- name: due
-- Takes now and the grace (see `advance`). Gives the seconds until the next delay or lease ends; NULL
-- where there is none. The first entry of an index each: for `min` a plan may read all of them.
WITH lease AS MATERIALIZED (
    SELECT due FROM penstock.message WHERE state = 2 ORDER BY due LIMIT 1
)
SELECT least(
    (SELECT due FROM penstock.message WHERE state = 1 ORDER BY due LIMIT 1),
    (SELECT greatest(due, CASE WHEN :now::float8 IS NULL THEN
        extract(epoch FROM pg_postmaster_start_time())::float8 + :grace::float8 END) FROM lease)
) - coalesce(:now::float8, extract(epoch FROM clock_timestamp())::float8);

-- name: rubbish
-- Takes now, and the ages in seconds at which tombstones, dead letters, announcements and groups go.
-- Gives whether anything can be pruned, so that an idle worker writes nothing.
WITH clock AS MATERIALIZED (
    SELECT coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) AS now
)
SELECT EXISTS (SELECT FROM penstock.done WHERE ended_at < now - :done_kept)
    OR EXISTS (SELECT FROM penstock.dead WHERE dead_at < now - :dead_kept)
    OR EXISTS (SELECT FROM penstock.announcement WHERE made_at < now - :news_kept)
    OR EXISTS (SELECT FROM penstock.party WHERE changed_at < now - :party_kept)
    OR EXISTS (SELECT FROM penstock.revoked WHERE until_at <= now)
    OR EXISTS (SELECT FROM penstock.result WHERE expires_at <= now)
FROM clock;

-- name: prune_done
-- Takes the age in seconds at which tombstones go, now, and how many at most; gives how many went.
WITH gone AS (
    DELETE FROM penstock.done WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM penstock.done WHERE ended_at
            < coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) - :age
        ORDER BY ended_at LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*)::int FROM gone;

-- name: prune_dead
WITH gone AS (
    DELETE FROM penstock.dead WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM penstock.dead WHERE dead_at
            < coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) - :age
        ORDER BY dead_at LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*)::int FROM gone;

-- name: prune_announcements
WITH gone AS (
    DELETE FROM penstock.announcement WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM penstock.announcement WHERE made_at
            < coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) - :age
        ORDER BY made_at LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*)::int FROM gone;

-- name: prune_revoked
WITH gone AS (
    DELETE FROM penstock.revoked WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM penstock.revoked WHERE until_at
            <= coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8)
        ORDER BY until_at LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*)::int FROM gone;

-- name: forget_holders
-- Takes now and a time in seconds: who was not seen for so long has gone.
DELETE FROM penstock.holder WHERE seen
    < coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) - :age;
