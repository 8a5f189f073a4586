-- Messages come in.

-- name: touch
-- Changes nothing that anybody reads: bells ring for what changed something.
INSERT INTO meta (name, value) VALUES ('touched', '')
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: publish
-- Takes key, id, queue, state (0 ready, 1 delayed), priority, since, ready_at, expires_at, headers,
-- properties, body. A key that is there, or was settled lately, stores nothing: that makes a
-- publication whose reply was lost safe to repeat, and the unique index decides it, so that two
-- repeats at once cannot both be first.
INSERT INTO message (key, id, queue, state, priority, since, ready_at, expires_at,
    headers, properties, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (key) DO NOTHING;
