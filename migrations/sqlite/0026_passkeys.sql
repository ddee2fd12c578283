-- +goose Up

-- Passkeys that people sign in to their accounts by: what is public of them.
CREATE TABLE account_passkeys (
    id         TEXT NOT NULL PRIMARY KEY, -- short name, of the credential's hash
    identity   TEXT NOT NULL REFERENCES accounts (identity) ON DELETE CASCADE,
    party      TEXT NOT NULL,       -- name of the host that it works for
    credential BLOB NOT NULL UNIQUE, -- what its authenticator calls it
    public_key BLOB NOT NULL,       -- COSE
    sign_count INTEGER NOT NULL,    -- as the authenticator counted last; 0: it does not count
    flags      INTEGER NOT NULL,    -- of the authenticator data (WebAuthn §6.1)
    transports TEXT NOT NULL,       -- how it is reached, separated by commas
    name       TEXT NOT NULL,       -- what its person calls it
    created_at TEXT NOT NULL,
    used_at    TEXT,                -- null: never
    cloned_at  TEXT                 -- when it counted backwards: it signs nobody in any more; null: never
) STRICT, WITHOUT ROWID;
CREATE INDEX account_passkeys_identity ON account_passkeys (identity, created_at);

-- Challenges that wait for an answer; each is good once.
CREATE TABLE account_challenges (
    hash       BLOB NOT NULL PRIMARY KEY, -- SHA-256 of the challenge, under a domain line
    identity   TEXT REFERENCES accounts (identity) ON DELETE CASCADE, -- who registers a passkey; null: somebody signs in
    origin     TEXT NOT NULL,       -- of the page that it was given to
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX account_challenges_expires ON account_challenges (expires_at);
CREATE INDEX account_challenges_identity ON account_challenges (identity);

-- +goose Down
DROP TABLE account_challenges;
DROP TABLE account_passkeys;
