-- +goose Up

-- Where a tenant's webhooks go (docs/webhooks.md). Contracts name them, so that
-- neither an address nor a secret stands in a timeline. Both are sealed under a
-- key that the node derives from its own.
CREATE TABLE webhooks (
    tenant     TEXT NOT NULL,           -- id
    name       TEXT NOT NULL,
    master     TEXT NOT NULL,           -- id of the key that opens it
    sealed     BLOB NOT NULL,           -- address and secrets
    created_by TEXT NOT NULL,           -- LogLine ID
    created_at TEXT NOT NULL,
    changed_by TEXT NOT NULL,           -- LogLine ID
    changed_at TEXT NOT NULL,
    gone_at    TEXT,                    -- since when the receiver wants no more; null: it does
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE webhooks;
