-- +goose Up

-- Where a tenant's webhooks go (docs/webhooks.md). Contracts name them, so that
-- neither an address nor a secret stands in a timeline. Both are sealed under a
-- key that the node derives from its own. The rows are open to whom the tenant's
-- tasks are (0012).
CREATE TABLE webhooks (
    tenant     text COLLATE "C" NOT NULL, -- id
    name       text COLLATE "C" NOT NULL,
    master     text COLLATE "C" NOT NULL, -- id of the key that opens it
    sealed     bytea NOT NULL,            -- address and secrets
    created_by text COLLATE "C" NOT NULL, -- LogLine ID
    created_at text COLLATE "C" NOT NULL,
    changed_by text COLLATE "C" NOT NULL, -- LogLine ID
    changed_at text COLLATE "C" NOT NULL,
    gone_at    text COLLATE "C",          -- since when the receiver wants no more; null: it does
    PRIMARY KEY (tenant, name)
);

ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhooks USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));

-- +goose Down
DROP TABLE webhooks;
