-- +goose Up

-- Doors for visitors (docs/ghosts.md): invitations of many uses, and which ghost
-- spent one. The count and the rows are written in one transaction.
ALTER TABLE invitations ADD COLUMN uses INTEGER NOT NULL DEFAULT 0; -- 0: for one person
ALTER TABLE invitations ADD COLUMN used INTEGER NOT NULL DEFAULT 0;

CREATE TABLE invitation_visits (
    tenant      TEXT NOT NULL,
    invitation  TEXT NOT NULL,
    identity    TEXT NOT NULL, -- LogLine ID of the ghost
    came_at     TEXT NOT NULL,
    accepted_at TEXT,          -- null: admitted, and not a guest yet
    grant_id    TEXT,
    grant_span  BLOB,          -- signed, until the timeline has it
    PRIMARY KEY (tenant, invitation, identity),
    FOREIGN KEY (tenant, invitation) REFERENCES invitations (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- By whom a ghost was claimed, so that who claimed it finds what it did.
ALTER TABLE identities ADD COLUMN claimed_by TEXT;
UPDATE identities SET claimed_by = json_extract(CAST(chain AS TEXT), '$.claimed_by') WHERE status = 'claimed';
CREATE INDEX identities_claimed_by ON identities (claimed_by, id) WHERE claimed_by IS NOT NULL;

-- +goose Down
DROP INDEX identities_claimed_by;
ALTER TABLE identities DROP COLUMN claimed_by;
DROP TABLE invitation_visits;
ALTER TABLE invitations DROP COLUMN used;
ALTER TABLE invitations DROP COLUMN uses;
