-- Onboarding sessions: what of bringing somebody in is done (docs/onboarding.md). A
-- row lives for a week. It holds no name, no address and no credential.

-- +goose Up

CREATE TABLE onboarding_sessions (
    id         text COLLATE "C" PRIMARY KEY,
    token      bytea NOT NULL,  -- SHA-256 of the session's token
    road       text NOT NULL,   -- terminal, page, api
    origin     bytea NOT NULL,  -- of the address that began it, under a secret of the node's; empty: this machine
    begun_at   bigint NOT NULL, -- Unix milliseconds
    expires_at bigint NOT NULL,
    unfinished bigint NOT NULL, -- 1 while a step is open
    identity   text COLLATE "C" NOT NULL, -- LogLine ID of whom it brings in, empty until that is proven
    memory     bytea NOT NULL   -- JSON: the steps, and what came of them
);

CREATE INDEX onboarding_sessions_expiry ON onboarding_sessions (expires_at);
CREATE INDEX onboarding_sessions_unfinished ON onboarding_sessions (unfinished, origin);

-- +goose Down
DROP TABLE onboarding_sessions;
