-- What is told to all workers.

-- name: revoke
-- Takes id, and the wall time until which it counts.
INSERT INTO revoked (id, until_at) VALUES (?1, ?2)
ON CONFLICT (id) DO UPDATE SET until_at = max(until_at, excluded.until_at);

-- name: announce
-- Takes token, wall time now, payload.
INSERT OR IGNORE INTO announcement (token, made_at, payload) VALUES (?1, ?2, ?3);

-- name: last_announcement
-- Gives the highest number given so far, also when all have been pruned.
SELECT seq FROM sqlite_sequence WHERE name = 'announcement';

-- name: announced_before
-- Takes a wall time. Gives the number of the last announcement made before it.
SELECT max(seq) FROM announcement WHERE made_at < ?1;

-- name: announced
-- Takes the number that was heard last.
SELECT seq, payload FROM announcement WHERE seq > ?1 ORDER BY seq;
