-- Who leases, and which worker it is.

-- name: holders
-- Takes now. Gives everyone, and for how many seconds it has not been seen.
SELECT id, boot_id, pid, started, space, host, name, since, info,
    coalesce(:now::float8, extract(epoch FROM clock_timestamp())::float8) - seen
FROM penstock.holder;

-- name: see_holder
-- Registers a holder, or notes that it was seen; its name and what it said of itself stay.
INSERT INTO penstock.holder (id, boot_id, pid, started, space, host, since, seen, info)
VALUES (:id, :boot_id, :pid, :started, :space, :host, :since,
    coalesce(:now::float8, extract(epoch FROM clock_timestamp())::float8), '{}')
ON CONFLICT (id) DO UPDATE SET seen = excluded.seen;

-- name: enrol
-- Takes name, info, since, id. Gives the id unless the name is taken, and whose it is then.
WITH named AS (
    UPDATE penstock.holder SET name = :name, info = :info, since = :since
    WHERE id = :id AND NOT EXISTS (
        SELECT FROM penstock.holder WHERE name = :name AND id <> :id)
    RETURNING id
)
SELECT coalesce((SELECT id FROM named), (SELECT id FROM penstock.holder WHERE name = :name));

-- name: drop_holder
DELETE FROM penstock.holder WHERE id = :id;

-- name: bereave
-- Takes an id: the leases of a dead holder end, and count as its death.
UPDATE penstock.message
SET state = 0, deaths = deaths + 1, holder = NULL, claim = NULL, due = NULL
WHERE state = 2 AND holder = :id;

-- name: release
-- Takes an id: the leases of a holder that leaves end, without a death.
UPDATE penstock.message SET state = 0, holder = NULL, claim = NULL, due = NULL
WHERE state = 2 AND holder = :id;
