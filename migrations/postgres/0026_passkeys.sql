-- +goose Up

-- Passkeys that people sign in to their accounts by: what is public of them.
CREATE TABLE account_passkeys (
    id         text COLLATE "C" NOT NULL PRIMARY KEY, -- short name, of the credential's hash
    identity   text COLLATE "C" NOT NULL REFERENCES accounts (identity) ON DELETE CASCADE,
    party      text COLLATE "C" NOT NULL,       -- name of the host that it works for
    credential BYTEA NOT NULL UNIQUE,           -- what its authenticator calls it
    public_key BYTEA NOT NULL,                  -- COSE
    sign_count BIGINT NOT NULL,                 -- as the authenticator counted last; 0: it does not count
    flags      BIGINT NOT NULL,                 -- of the authenticator data (WebAuthn §6.1)
    transports text COLLATE "C" NOT NULL,       -- how it is reached, separated by commas
    name       text COLLATE "C" NOT NULL,       -- what its person calls it
    created_at text COLLATE "C" NOT NULL,
    used_at    text COLLATE "C",                -- null: never
    cloned_at  text COLLATE "C"                 -- when it counted backwards: it signs nobody in any more; null: never
);
CREATE INDEX account_passkeys_identity ON account_passkeys (identity, created_at);

-- Challenges that wait for an answer; each is good once.
CREATE TABLE account_challenges (
    hash       BYTEA NOT NULL PRIMARY KEY,      -- SHA-256 of the challenge, under a domain line
    identity   text COLLATE "C" REFERENCES accounts (identity) ON DELETE CASCADE, -- who registers a passkey; null: somebody signs in
    origin     text COLLATE "C" NOT NULL,       -- of the page that it was given to
    expires_at text COLLATE "C" NOT NULL
);
CREATE INDEX account_challenges_expires ON account_challenges (expires_at);
CREATE INDEX account_challenges_identity ON account_challenges (identity);

-- +goose Down
DROP TABLE account_challenges;
DROP TABLE account_passkeys;
