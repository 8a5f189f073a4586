-- What a penstock SQLite file holds. One schema for broker and result store, so that a settlement
-- and its result are one transaction. PRAGMA user_version says which version of it a file has.

-- name: schema
-- Times: `until` of a leased message and `seen` are boot seconds (they mean nothing after a
-- restart: meta.boot_id says which boot); every *_at and `since` is wall time.
-- state: 0 ready, 1 delayed, 2 leased, 3 done (a tombstone: it makes a repeated publication or
-- settlement harmless, and is pruned by and by; `until` is then the boot time of its end).
-- `attempt` counts the leases and is the fence. `claim` names the exchange that leased it, so that
-- a repeat finds what it has; `returned` is the fence that handed it back last, for the same end.
-- What changes stands first: an UPDATE then rewrites the head of the row.
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    holder INTEGER,
    claim INTEGER,
    returned INTEGER,
    until REAL,
    since REAL NOT NULL,
    ready_at REAL NOT NULL,
    expires_at REAL,
    queue TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    id TEXT NOT NULL,
    headers BLOB NOT NULL,
    properties BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Each index holds only the messages in one state, and the row number (seq) at its end:
-- so the next message to claim is the first entry, however many wait or are done.
CREATE INDEX message_ready ON message (queue, priority DESC) WHERE state = 0;
CREATE INDEX message_delayed ON message (ready_at, queue) WHERE state = 1;
-- Leased and done share one, for a settlement then changes one page of it and not two: a seventh
-- of the time that a call of an idle worker takes. SQLite uses it only where a statement says
-- `state >= 2` in these words.
CREATE INDEX message_held ON message (state, until, queue) WHERE state >= 2;

CREATE TABLE dead (
    key TEXT PRIMARY KEY,
    dead_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    ready_at REAL NOT NULL,
    expires_at REAL,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    reason TEXT NOT NULL,
    headers BLOB NOT NULL,
    properties BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX dead_age ON dead (dead_at);

-- Who leases: one row for each broker object that does. `name` where it is a worker's.
CREATE TABLE holder (
    id INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    space INTEGER NOT NULL,
    host TEXT NOT NULL,
    name TEXT UNIQUE,
    since REAL NOT NULL,
    seen REAL NOT NULL,
    info BLOB NOT NULL
) STRICT;

CREATE TABLE revoked (id TEXT PRIMARY KEY, until_at REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_age ON revoked (until_at);

-- AUTOINCREMENT: a reader remembers the last number it heard, so none may come twice.
-- `token` names the call, so that one that is repeated tells nothing twice.
CREATE TABLE announcement (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    token INTEGER NOT NULL UNIQUE,
    made_at REAL NOT NULL,
    payload BLOB NOT NULL
) STRICT;

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE result (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    final INTEGER NOT NULL,
    ttl REAL,
    expires_at REAL,
    document BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- No index finds what has expired: it would cost every settlement a page. Upkeep walks through the
-- table instead, a window at a time; ids sort by time, so that the oldest come first.

-- `token` names the call that brought the member, so that only it may be told "you are the last".
-- `ordinal`: which of its group it was, 1 first; kept, so that the last one needs no count of all.
CREATE TABLE group_member (
    party TEXT NOT NULL,
    member TEXT NOT NULL,
    token INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    arrived_at REAL NOT NULL,
    PRIMARY KEY (party, member)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX group_member_order ON group_member (party, ordinal);
CREATE INDEX group_member_age ON group_member (arrived_at);
