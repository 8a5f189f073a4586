-- Result records. Used by the result store and, inside its own transaction, by the broker.

-- name: put_record
-- Takes id, state, key, attempt, final, ttl, expires_at, document, and the wall time now.
-- Changes no row when it is refused as stale. The rules stand in the
-- conflict clause, so that reading the old record and writing the new one cannot be parted:
-- an empty key loses against a final record; the same publication against a final one and against
-- a higher attempt; another publication against the final record of a newer one (keys sort by
-- time). What has expired is as good as gone.
INSERT INTO result (id, state, key, attempt, final, ttl, expires_at, document)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, key = excluded.key, attempt = excluded.attempt,
    final = excluded.final, ttl = excluded.ttl, expires_at = excluded.expires_at,
    document = excluded.document
WHERE expires_at <= ?9 OR CASE excluded.key
    WHEN '' THEN NOT final
    WHEN key THEN NOT final AND excluded.attempt >= attempt
    ELSE NOT final OR excluded.key > key
END;

-- name: same_record
-- Takes id, state, key, attempt, document. Gives a row when exactly this is stored: a repeat.
SELECT 1 FROM result
WHERE id = ?1 AND state = ?2 AND key = ?3 AND attempt = ?4 AND document = ?5;

-- name: get_record
-- Takes an id and the wall time now; gives its record unless it has expired.
SELECT id, state, document, key, attempt, final, ttl FROM result
WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2);

-- name: forget_record
DELETE FROM result WHERE id = ?1;

-- name: prune_results
-- Takes two ids and the wall time now: what has expired behind the first, up to the second.
DELETE FROM result WHERE id > ?1 AND id <= ?2 AND expires_at <= ?3;

-- name: expired
-- Takes an id, how many records behind it to look at, and the wall time now. Gives the last id
-- looked at (NULL: there is none) and how many of them have expired.
SELECT max(id), total(expires_at <= ?3)
FROM (SELECT id, expires_at FROM result WHERE id > ?1 ORDER BY id LIMIT ?2);

-- name: arrive
-- Takes group, member, token, now. A member that came before is left as it is.
INSERT OR IGNORE INTO group_member (party, member, token, arrived_at, ordinal)
VALUES (?1, ?2, ?3, ?4,
    1 + coalesce((SELECT max(ordinal) FROM group_member WHERE party = ?1), 0));

-- name: arrived
-- Takes group, member, token. Gives which of its group it was, if this call brought it.
SELECT ordinal FROM group_member WHERE party = ?1 AND member = ?2 AND token = ?3;

-- name: prune_groups
-- Takes the wall time before which members are forgotten, and how many at most.
DELETE FROM group_member WHERE (party, member) IN (
    SELECT party, member FROM group_member WHERE arrived_at < ?1 LIMIT ?2);
