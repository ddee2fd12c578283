-- +goose Up

-- Logins of people at this node, each for one identity. All of it is this node's
-- alone and can be erased; no timeline refers to it.
CREATE TABLE accounts (
    identity       text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES identities (id),
    email          text COLLATE "C",            -- as it is written to; null: none
    email_key      text COLLATE "C",            -- in lower case, by which it is found
    email_proven   text COLLATE "C",            -- when its owner proved to read it; null: not
    password       text COLLATE "C",            -- argon2id with its parameters and salt (PHC); null: none
    password_at    text COLLATE "C",            -- when it was set
    totp_at        text COLLATE "C",            -- when the second factor was confirmed; null: none
    totp_step      BIGINT NOT NULL DEFAULT 0, -- of the last code that was taken: none is taken twice
    created_at     text COLLATE "C" NOT NULL,
    deactivated_at text COLLATE "C",            -- null: active
    deactivated_by text COLLATE "C"             -- LogLine ID, or who ran the command
);
CREATE INDEX accounts_email ON accounts (email_key);
-- Of all who name an address, one has proven to read it.
CREATE UNIQUE INDEX accounts_email_proven ON accounts (email_key) WHERE email_proven IS NOT NULL;

-- Recovery codes that were not used yet.
CREATE TABLE account_codes (
    identity text COLLATE "C" NOT NULL REFERENCES accounts (identity) ON DELETE CASCADE,
    hash     BYTEA NOT NULL,         -- SHA-256 of the code, under a domain line
    PRIMARY KEY (identity, hash)
);

-- Where people are signed in. A session that ended has no row.
CREATE TABLE account_sessions (
    id         text COLLATE "C" NOT NULL PRIMARY KEY, -- the part of the token that is no secret
    identity   text COLLATE "C" NOT NULL REFERENCES accounts (identity) ON DELETE CASCADE,
    hash       BYTEA NOT NULL,       -- SHA-256 of the whole token, under a domain line
    made_at    text COLLATE "C" NOT NULL,       -- when that token was made
    next       BYTEA,                -- hash of the token that was given out to take its place
    next_at    text COLLATE "C",
    last       BYTEA,                -- hash of the token whose place it took
    last_until text COLLATE "C",                -- first instant at which that one no longer holds
    how        text COLLATE "C" NOT NULL,       -- password, key, passkey, oidc
    signer     text COLLATE "C",                -- public key that signed in; null for the others
    needs      text COLLATE "C",                -- totp: not signed in before that; null: nothing
    created_at text COLLATE "C" NOT NULL,
    proved_at  text COLLATE "C" NOT NULL,       -- when the person last proved who they are
    seen_at    text COLLATE "C" NOT NULL,       -- last use, to the minute
    expires_at text COLLATE "C" NOT NULL,
    address    text COLLATE "C" NOT NULL,       -- from which they signed in
    agent      text COLLATE "C" NOT NULL        -- what the browser called itself
);
CREATE INDEX account_sessions_identity ON account_sessions (identity, created_at);
CREATE INDEX account_sessions_expires ON account_sessions (expires_at);

-- Small secrets in this node's care beside keys, sealed under its master key.
CREATE TABLE sealed_secrets (
    purpose text COLLATE "C" NOT NULL,          -- totp
    name    text COLLATE "C" NOT NULL,          -- whose it is: a LogLine ID
    master  text COLLATE "C" NOT NULL,          -- id of the master key that opens it
    sealed  BYTEA NOT NULL,
    PRIMARY KEY (purpose, name)
);

-- The planner keeps no values of what can be erased (0011).
ALTER TABLE accounts ALTER COLUMN email SET STATISTICS 0, ALTER COLUMN email_key SET STATISTICS 0, ALTER COLUMN password SET STATISTICS 0;
ALTER TABLE account_sessions ALTER COLUMN address SET STATISTICS 0, ALTER COLUMN agent SET STATISTICS 0;

-- +goose Down
DROP TABLE sealed_secrets;
DROP TABLE account_sessions;
DROP TABLE account_codes;
DROP TABLE accounts;
