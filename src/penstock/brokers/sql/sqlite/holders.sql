-- Who leases, and which worker it is.

-- name: holders
SELECT id, boot_id, pid, started, space, host, name, since, seen, info FROM holder;

-- name: see_holder
-- Takes id, boot_id, pid, started, space, host, wall time now, boot time now.
-- Registers the holder, or notes that it was seen.
INSERT INTO holder (id, boot_id, pid, started, space, host, since, seen, info)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, x'')
ON CONFLICT (id) DO UPDATE SET seen = excluded.seen;

-- name: touch_holder
-- Takes the boot time now and an id.
UPDATE holder SET seen = ?1 WHERE id = ?2;

-- name: name_holder
-- Takes name, info, wall time now, id. The unique name decides between two that enrol at once.
UPDATE holder SET name = ?1, info = ?2, since = ?3 WHERE id = ?4;

-- name: drop_holder
DELETE FROM holder WHERE id = ?1;

-- name: bereave
-- Takes an id: the leases of a dead holder end, and count as its death.
UPDATE message
SET state = 0, deaths = deaths + 1, holder = NULL, until = NULL, claim = NULL
WHERE state >= 2 AND state = 2 AND holder = ?1;

-- name: release
-- Takes an id: the leases of a holder that leaves end, without a death.
UPDATE message SET state = 0, holder = NULL, until = NULL, claim = NULL
WHERE state >= 2 AND state = 2 AND holder = ?1;
