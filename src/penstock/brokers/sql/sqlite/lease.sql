-- Messages change hands. A lease is the row itself: who holds it, until when, as which attempt.

-- name: claim
-- Takes holder, until, claim, wall time now, queue, limit. Gives the leased rows, in any order.
-- Finding and taking are one statement, so no two claims get the same message and a holder that
-- dies at any moment holds either nothing or a lease that ends. `attempt` is the new fence.
UPDATE message SET state = 2, attempt = attempt + 1, holder = ?1, until = ?2, claim = ?3
WHERE seq IN (
    SELECT seq FROM message WHERE queue = ?5 AND state = 0
    ORDER BY priority DESC, seq LIMIT ?6)
RETURNING seq, key, id, queue, priority, attempt, deaths, until, ready_at, expires_at,
    headers, properties, body,
    EXISTS (SELECT 1 FROM revoked AS r WHERE r.id = message.id AND r.until_at > ?4);

-- name: claimed
-- Takes holder, claim, wall time now. Gives what that claim leased, when it is asked once more.
SELECT seq, key, id, queue, priority, attempt, deaths, until, ready_at, expires_at,
    headers, properties, body,
    EXISTS (SELECT 1 FROM revoked AS r WHERE r.id = message.id AND r.until_at > ?3)
FROM message WHERE state = 2 AND holder = ?1 AND claim = ?2;

-- name: unclaim
-- Takes holder, claim. Gives back what a claim leased for a caller that has gone away.
UPDATE message SET state = 0, holder = NULL, until = NULL, claim = NULL
WHERE state = 2 AND holder = ?1 AND claim = ?2;

-- name: extend
-- Takes until, key, fence. Gives the key where that lease is still held.
UPDATE message SET until = ?1 WHERE key = ?2 AND attempt = ?3 AND state = 2 RETURNING key;
