-- +goose Up

-- Invitations to tenants (docs/invitations.md). The token of one is in its link
-- alone: here are its hash, and what signs the grant, sealed under the token until
-- it is used, withdrawn or ended. Neither an address nor a name is here.
CREATE TABLE invitations (
    tenant       TEXT NOT NULL,           -- id
    id           TEXT NOT NULL,           -- of the span that tells of it
    hash         BLOB NOT NULL,           -- of the token
    role         TEXT NOT NULL,
    inviter      TEXT NOT NULL,           -- LogLine ID
    signer       TEXT,                    -- public key that will sign the grant; null: the inviter's, in custody
    sealed       BLOB,                    -- its seed; null once it is destroyed
    created_at   TEXT NOT NULL,
    expires_at   TEXT NOT NULL,
    admitted     TEXT,                    -- LogLine ID of the one identity that it let register
    accepted_by  TEXT,                    -- LogLine ID
    accepted_at  TEXT,
    grant_span   BLOB,                    -- signed, until the timeline has it
    grant_id     TEXT,
    revoked_by   TEXT,                    -- LogLine ID
    revoked_at   TEXT,
    mailed_at    TEXT,                    -- null: not by this node
    mail_problem TEXT,                    -- why it could not be; null: it was handed over
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX invitations_hash ON invitations (hash);

-- Codes mailed to addresses of allowed domains. Of the address there is a hash
-- under a key of the node's, so that an hour's codes to one mailbox can be counted.
CREATE TABLE registration_codes (
    selector   TEXT PRIMARY KEY,          -- first part of the code
    hash       BLOB NOT NULL,             -- of the code
    mailbox    BLOB NOT NULL,
    made_at    TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    tries      INTEGER NOT NULL,          -- with a wrong second part
    admitted   TEXT                       -- LogLine ID of the one identity that it let register
) STRICT, WITHOUT ROWID;

CREATE INDEX registration_codes_mailbox ON registration_codes (mailbox, made_at);

-- +goose Down
DROP TABLE registration_codes;
DROP TABLE invitations;
