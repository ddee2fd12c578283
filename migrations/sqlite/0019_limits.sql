-- What an API key may do, beside the types that it may have signed; and which key
-- took the place of which. Keys from before go on as they were: they read, and
-- have events signed.
--
-- And what tenants may use: quotas of their own (the node's are settings), how
-- much they store, and which marks of a quota were crossed.

-- +goose Up

ALTER TABLE api_keys ADD COLUMN rights TEXT NOT NULL DEFAULT '["append","read"]'; -- JSON, sorted
ALTER TABLE api_keys ADD COLUMN replaces TEXT;    -- id of the key that this one was made for; null: none
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT; -- id of the key that took its place; null: none
ALTER TABLE api_keys ADD COLUMN revoked_by TEXT;  -- LogLine ID; null: not revoked, or before this was kept

CREATE TABLE tenant_quotas (
    tenant TEXT NOT NULL,   -- id
    name   TEXT NOT NULL,   -- spans, storage, feeds, tasks, members
    value  INTEGER NOT NULL, -- -1: bounds nothing
    set_at TEXT NOT NULL,
    set_by TEXT NOT NULL,   -- LogLine ID; empty: whoever runs the node
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_storage (
    tenant  TEXT NOT NULL PRIMARY KEY, -- id
    entries INTEGER NOT NULL,          -- that were counted
    bytes   INTEGER NOT NULL           -- that they take
) STRICT, WITHOUT ROWID;

CREATE TABLE quota_marks (
    tenant TEXT NOT NULL,      -- id
    quota  TEXT NOT NULL,
    level  INTEGER NOT NULL,   -- the highest that was crossed: 80, 95 or 100 percent
    PRIMARY KEY (tenant, quota)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE quota_marks;
DROP TABLE tenant_storage;
DROP TABLE tenant_quotas;
ALTER TABLE api_keys DROP COLUMN revoked_by;
ALTER TABLE api_keys DROP COLUMN replaced_by;
ALTER TABLE api_keys DROP COLUMN replaces;
ALTER TABLE api_keys DROP COLUMN rights;
