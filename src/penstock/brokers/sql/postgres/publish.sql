-- Messages come in.

-- name: publish
-- Takes arrays, one entry for each message. A key that is there stores nothing: that makes a
-- publication whose reply was lost safe to repeat, and the unique index decides it, so that two
-- repeats at once cannot both be first. `forget_done` follows in the same transaction.
INSERT INTO penstock.message
    (key, id, queue, state, priority, since, ready_at, due, expires_at, headers, properties, body)
SELECT key, id, queue, state, priority, since, ready_at, CASE state WHEN 1 THEN ready_at END,
    expires_at, headers, properties, body
FROM unnest(
    :keys::text[], :ids::text[], :queues::text[], :states::int[], :priorities::int[],
    :sinces::float8[], :readies::float8[], :expires::float8[], :headers::text[],
    :properties::text[], :bodies::bytea[]
) AS a (key, id, queue, state, priority, since, ready_at, expires_at, headers, properties, body)
ON CONFLICT (key) DO NOTHING;

-- name: copy
-- The same for many: the transaction fails where a key is there.
COPY penstock.message
    (key, id, queue, state, priority, since, ready_at, due, expires_at, headers, properties, body)
FROM STDIN (FORMAT binary);

-- name: forget_done
-- Takes the lowest and the highest key of a publication. What was settled lately is taken out again:
-- before the commit, for it may have been settled while the rows were on their way.
DELETE FROM penstock.message WHERE key = ANY (ARRAY(
    SELECT key FROM penstock.done WHERE key BETWEEN :lowest AND :highest));

-- name: publish_one
-- The same for one message, without arrays; also on a caller's own connection: there it is
-- stored when the caller's transaction commits, and never otherwise.
INSERT INTO penstock.message
    (key, id, queue, state, priority, since, ready_at, due, expires_at, headers, properties, body)
VALUES (:key, :id, :queue, :state, :priority, :since, :ready_at, :due, :expires_at, :headers,
    :properties, :body)
ON CONFLICT (key) DO NOTHING;

-- name: ring
-- Heard when that transaction commits.
SELECT pg_notify(:channel, :told);
