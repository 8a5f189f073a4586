-- What time does to messages, and what is thrown away.

-- name: due
-- Gives the wall time of the next delayed message and the boot time of the next end of a lease.
SELECT (SELECT min(ready_at) FROM message WHERE state = 1),
       (SELECT min(until) FROM message WHERE state >= 2 AND state = 2);

-- name: ready_delayed
-- Takes the wall time now and how many at most: delayed messages whose time has come are ready.
UPDATE message SET state = 0 WHERE seq IN (
    SELECT seq FROM message WHERE state = 1 AND ready_at <= ?1 ORDER BY ready_at LIMIT ?2);

-- name: end_leases
-- Takes the boot time now. What nobody extended goes back to its place; its holder counts as dead.
UPDATE message
SET state = 0, deaths = deaths + 1, holder = NULL, until = NULL, claim = NULL
WHERE state >= 2 AND state = 2 AND until <= ?1;

-- name: void_leases
-- After a restart of the machine nobody holds anything.
UPDATE message
SET state = 0, deaths = deaths + 1, holder = NULL, until = NULL, claim = NULL
WHERE state >= 2 AND state = 2;

-- name: forget_done
-- Takes the boot time now. Tombstones of an earlier boot that ran for longer seem to lie in the
-- future and would never be pruned; nobody outlived the restart who could need them.
DELETE FROM message WHERE state >= 2 AND state = 3 AND until > ?1;

-- name: boot
SELECT value FROM meta WHERE name = 'boot_id';

-- name: set_boot
INSERT INTO meta (name, value) VALUES ('boot_id', ?1)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: prune_done
-- Takes the boot time before which tombstones go, and how many at most.
DELETE FROM message WHERE seq IN (
    SELECT seq FROM message WHERE state >= 2 AND state = 3 AND until < ?1
    ORDER BY until LIMIT ?2);

-- name: prune_dead
DELETE FROM dead WHERE rowid IN (SELECT rowid FROM dead WHERE dead_at < ?1 LIMIT ?2);

-- name: prune_revoked
DELETE FROM revoked WHERE id IN (SELECT id FROM revoked WHERE until_at <= ?1 LIMIT ?2);

-- name: prune_announcements
DELETE FROM announcement WHERE seq IN (
    SELECT seq FROM announcement WHERE made_at < ?1 ORDER BY seq LIMIT ?2);

-- name: rubbish
-- Takes the boot time before which tombstones go, the wall times before which dead letters,
-- announcements and group members go, and the wall time now. Gives 1 if anything can be pruned:
-- asked by a reader, so that an idle worker writes nothing.
SELECT EXISTS (SELECT 1 FROM message WHERE state >= 2 AND state = 3 AND until < ?1)
    OR EXISTS (SELECT 1 FROM dead WHERE dead_at < ?2)
    OR EXISTS (SELECT 1 FROM announcement WHERE made_at < ?3)
    OR EXISTS (SELECT 1 FROM group_member WHERE arrived_at < ?4)
    OR EXISTS (SELECT 1 FROM revoked WHERE until_at <= ?5);
