-- Messages change hands. A lease is the row itself: who holds it, until when, as which attempt.

-- name: next_ready
-- Takes queue, wall time now, limit, until. Gives the best messages that may run, as `claimed` does, with
-- the attempt that leasing them begins, which is their new fence. `take` follows for each in the
-- same transaction, which nobody else's claim can come between. As one statement (UPDATE ... WHERE
-- seq IN (SELECT ...) RETURNING) it takes twice as long for a few rows.
SELECT seq, key, id, queue, priority, attempt + 1, deaths, ?4, ready_at, expires_at,
    headers, properties, body,
    EXISTS (SELECT 1 FROM revoked AS r WHERE r.id = message.id AND r.until_at > ?2)
FROM message WHERE queue = ?1 AND state = 0 ORDER BY priority DESC, seq LIMIT ?3;

-- name: take
-- Takes holder, until, claim, seq of a ready message.
UPDATE message SET state = 2, attempt = attempt + 1, holder = ?1, until = ?2, claim = ?3
WHERE seq = ?4;

-- name: claimed
-- Takes holder, claim, wall time now. Gives what that claim leased, when it is asked once more.
SELECT seq, key, id, queue, priority, attempt, deaths, until, ready_at, expires_at,
    headers, properties, body,
    EXISTS (SELECT 1 FROM revoked AS r WHERE r.id = message.id AND r.until_at > ?3)
FROM message WHERE state >= 2 AND state = 2 AND holder = ?1 AND claim = ?2;

-- name: unclaim
-- Takes holder, claim. Gives back what a claim leased for a caller that has gone away.
UPDATE message SET state = 0, holder = NULL, until = NULL, claim = NULL
WHERE state >= 2 AND state = 2 AND holder = ?1 AND claim = ?2;

-- name: extend
-- Takes until, key, fence.
UPDATE message SET until = ?1 WHERE key = ?2 AND attempt = ?3 AND state = 2;
