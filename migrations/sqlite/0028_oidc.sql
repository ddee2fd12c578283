-- +goose Up

-- By whose word people sign in to their accounts: who they are at other providers.
CREATE TABLE account_oidc_links (
    id         TEXT NOT NULL PRIMARY KEY, -- no secret
    identity   TEXT NOT NULL REFERENCES accounts (identity) ON DELETE CASCADE,
    issuer     TEXT NOT NULL, -- of the provider (OpenID Connect Core 1.0 §2)
    subject    TEXT NOT NULL, -- what the provider calls the person, for ever
    email      TEXT,          -- as the provider said when it was linked, for the person to see; null: it said none
    created_at TEXT NOT NULL,
    used_at    TEXT,          -- null: never
    UNIQUE (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_oidc_links_identity ON account_oidc_links (identity, created_at);

-- Ways to a provider that nobody has come back from; each is good once.
CREATE TABLE account_oidc_flows (
    hash       BLOB NOT NULL PRIMARY KEY, -- SHA-256 of the state, under a domain line
    browser    BLOB NOT NULL, -- SHA-256 of what the browser's cookie holds, likewise
    provider   TEXT NOT NULL,
    identity   TEXT REFERENCES accounts (identity) ON DELETE CASCADE, -- who links; null: somebody signs in
    session    TEXT,          -- in which they do; null: by their own key
    page       TEXT NOT NULL, -- of the node's own, to come back to
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX account_oidc_flows_expires ON account_oidc_flows (expires_at);
CREATE INDEX account_oidc_flows_identity ON account_oidc_flows (identity);

-- +goose Down
DROP TABLE account_oidc_flows;
DROP TABLE account_oidc_links;
