-- +goose Up

-- Secret keys in this node's care, sealed under its master key: its own, and
-- those of identities in its custody.
CREATE TABLE sealed_keys (
    identity TEXT NOT NULL PRIMARY KEY, -- LogLine ID
    master   TEXT NOT NULL,             -- id of the master key that opens it
    size     BIGINT NOT NULL,           -- number of key events in it, for compare-and-set
    sealed   BYTEA NOT NULL,
    maker    TEXT                       -- LogLine ID of who had it made; null: the node itself
);

-- API keys, by the part of them that is no secret.
CREATE TABLE api_keys (
    id         TEXT NOT NULL PRIMARY KEY,
    identity   TEXT NOT NULL REFERENCES identities (id),
    hash       BYTEA NOT NULL,           -- SHA-256 of the whole key, under a domain line
    label      TEXT NOT NULL DEFAULT '',
    types      TEXT NOT NULL,           -- JSON: patterns of the types it may have signed
    tenant     TEXT,                    -- null: every tenant
    created_by TEXT NOT NULL,           -- LogLine ID
    created_at TEXT NOT NULL,
    expires_at TEXT,                    -- null: never
    used_at    TEXT,                    -- to the hour or so; null: never
    revoked_at TEXT                     -- null: valid
);

CREATE INDEX api_keys_identity ON api_keys (identity, id);

-- +goose Down
DROP TABLE api_keys;
DROP TABLE sealed_keys;
