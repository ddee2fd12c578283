-- +goose Up

-- Invitations to tenants (docs/invitations.md). The token of one is in its link
-- alone: here are its hash, and what signs the grant, sealed under the token until
-- it is used, withdrawn or ended. Neither an address nor a name is here. The rows
-- are open to whom the tenant's tasks are (0012).
CREATE TABLE invitations (
    tenant       text COLLATE "C" NOT NULL, -- id
    id           text COLLATE "C" NOT NULL, -- of the span that tells of it
    hash         bytea NOT NULL,            -- of the token
    role         text COLLATE "C" NOT NULL,
    inviter      text COLLATE "C" NOT NULL, -- LogLine ID
    signer       text COLLATE "C",          -- public key that will sign the grant; null: the inviter's, in custody
    sealed       bytea,                     -- its seed; null once it is destroyed
    created_at   text COLLATE "C" NOT NULL,
    expires_at   text COLLATE "C" NOT NULL,
    admitted     text COLLATE "C",          -- LogLine ID of the one identity that it let register
    accepted_by  text COLLATE "C",          -- LogLine ID
    accepted_at  text COLLATE "C",
    grant_span   bytea,                     -- signed, until the timeline has it
    grant_id     text COLLATE "C",
    revoked_by   text COLLATE "C",          -- LogLine ID
    revoked_at   text COLLATE "C",
    mailed_at    text COLLATE "C",          -- null: not by this node
    mail_problem text COLLATE "C",          -- why it could not be; null: it was handed over
    PRIMARY KEY (tenant, id)
);

CREATE UNIQUE INDEX invitations_hash ON invitations (hash);

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitations USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));

-- Codes mailed to addresses of allowed domains. Of the address there is a hash
-- under a key of the node's, so that an hour's codes to one mailbox can be counted.
CREATE TABLE registration_codes (
    selector   text COLLATE "C" PRIMARY KEY, -- first part of the code
    hash       bytea NOT NULL,               -- of the code
    mailbox    bytea NOT NULL,
    made_at    text COLLATE "C" NOT NULL,
    expires_at text COLLATE "C" NOT NULL,
    tries      integer NOT NULL,             -- with a wrong second part
    admitted   text COLLATE "C"              -- LogLine ID of the one identity that it let register
);

CREATE INDEX registration_codes_mailbox ON registration_codes (mailbox, made_at);

-- +goose Down
DROP TABLE registration_codes;
DROP TABLE invitations;
