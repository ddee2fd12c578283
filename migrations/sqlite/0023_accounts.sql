-- +goose Up

-- Logins of people at this node, each for one identity. All of it is this node's
-- alone and can be erased; no timeline refers to it.
CREATE TABLE accounts (
    identity       TEXT NOT NULL PRIMARY KEY REFERENCES identities (id),
    email          TEXT,            -- as it is written to; null: none
    email_key      TEXT,            -- in lower case, by which it is found
    email_proven   TEXT,            -- when its owner proved to read it; null: not
    password       TEXT,            -- argon2id with its parameters and salt (PHC); null: none
    password_at    TEXT,            -- when it was set
    totp_at        TEXT,            -- when the second factor was confirmed; null: none
    totp_step      INTEGER NOT NULL DEFAULT 0, -- of the last code that was taken: none is taken twice
    created_at     TEXT NOT NULL,
    deactivated_at TEXT,            -- null: active
    deactivated_by TEXT             -- LogLine ID, or who ran the command
) STRICT;
CREATE INDEX accounts_email ON accounts (email_key);
-- Of all who name an address, one has proven to read it.
CREATE UNIQUE INDEX accounts_email_proven ON accounts (email_key) WHERE email_proven IS NOT NULL;

-- Recovery codes that were not used yet.
CREATE TABLE account_codes (
    identity TEXT NOT NULL REFERENCES accounts (identity) ON DELETE CASCADE,
    hash     BLOB NOT NULL,         -- SHA-256 of the code, under a domain line
    PRIMARY KEY (identity, hash)
) STRICT, WITHOUT ROWID;

-- Where people are signed in. A session that ended has no row.
CREATE TABLE account_sessions (
    id         TEXT NOT NULL PRIMARY KEY, -- the part of the token that is no secret
    identity   TEXT NOT NULL REFERENCES accounts (identity) ON DELETE CASCADE,
    hash       BLOB NOT NULL,       -- SHA-256 of the whole token, under a domain line
    made_at    TEXT NOT NULL,       -- when that token was made
    next       BLOB,                -- hash of the token that was given out to take its place
    next_at    TEXT,
    last       BLOB,                -- hash of the token whose place it took
    last_until TEXT,                -- first instant at which that one no longer holds
    how        TEXT NOT NULL,       -- password, key, passkey, oidc
    signer     TEXT,                -- public key that signed in; null for the others
    needs      TEXT,                -- totp: not signed in before that; null: nothing
    created_at TEXT NOT NULL,
    proved_at  TEXT NOT NULL,       -- when the person last proved who they are
    seen_at    TEXT NOT NULL,       -- last use, to the minute
    expires_at TEXT NOT NULL,
    address    TEXT NOT NULL,       -- from which they signed in
    agent      TEXT NOT NULL        -- what the browser called itself
) STRICT, WITHOUT ROWID;
CREATE INDEX account_sessions_identity ON account_sessions (identity, created_at);
CREATE INDEX account_sessions_expires ON account_sessions (expires_at);

-- Small secrets in this node's care beside keys, sealed under its master key.
CREATE TABLE sealed_secrets (
    purpose TEXT NOT NULL,          -- totp
    name    TEXT NOT NULL,          -- whose it is: a LogLine ID
    master  TEXT NOT NULL,          -- id of the master key that opens it
    sealed  BLOB NOT NULL,
    PRIMARY KEY (purpose, name)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE sealed_secrets;
DROP TABLE account_sessions;
DROP TABLE account_codes;
DROP TABLE accounts;
