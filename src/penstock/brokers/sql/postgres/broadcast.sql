-- What is told to all workers.

-- name: revoke
-- Takes an array of ids, the seconds for which it counts, and now.
INSERT INTO penstock.revoked AS r (id, until_at)
SELECT id, coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8) + :ttl
FROM unnest(:ids::text[]) AS a (id)
ON CONFLICT (id) DO UPDATE SET until_at = greatest(r.until_at, excluded.until_at);

-- name: one_by_one
-- Announcements are numbered in the order in which they are seen: who has heard number 7 would not
-- hear number 6 any more.
SELECT pg_advisory_xact_lock(hashtext('penstock.announcement'));

-- name: announce
INSERT INTO penstock.announcement (token, made_at, payload)
VALUES (:token, coalesce(:now::float8, extract(epoch FROM statement_timestamp())::float8), :payload)
ON CONFLICT (token) DO NOTHING;

-- name: last_announcement
-- Gives the highest number that there is.
SELECT max(seq) FROM penstock.announcement;

-- name: announced_before
-- Takes a wall time. Gives the number of the last announcement made before it.
SELECT max(seq) FROM penstock.announcement WHERE made_at < :moment;

-- name: announced
-- Takes the number that was heard last.
SELECT seq, payload FROM penstock.announcement WHERE seq > :heard ORDER BY seq;
