-- Which version of the schema a database has. One row for each version that was applied.

-- name: prepare
-- Safe to repeat; `lock` comes first, for two that make one schema at once disturb each other.
CREATE TABLE IF NOT EXISTS penstock.schema_version (
    version integer PRIMARY KEY,
    oldest integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: found
-- Gives the version that is there, and the lowest version that a program must know to use it: a
-- migration that only adds leaves it as it was, so that two releases work side by side.
SELECT max(version), max(oldest) FROM penstock.schema_version;

-- name: applied
-- Takes a version and the lowest that a program must know.
INSERT INTO penstock.schema_version (version, oldest) VALUES (:version, :oldest);

-- name: lock
-- Takes a number made of the schema's name; held to the end of the transaction.
SELECT pg_advisory_xact_lock(:number);
