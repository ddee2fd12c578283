-- +goose Up

-- Doors for visitors (docs/ghosts.md): invitations of many uses, and which ghost
-- spent one. The count and the rows are written in one transaction. The rows are
-- open to whom the tenant's tasks are (0012).
ALTER TABLE invitations ADD COLUMN uses integer NOT NULL DEFAULT 0; -- 0: for one person
ALTER TABLE invitations ADD COLUMN used integer NOT NULL DEFAULT 0;

CREATE TABLE invitation_visits (
    tenant      text COLLATE "C" NOT NULL,
    invitation  text COLLATE "C" NOT NULL,
    identity    text COLLATE "C" NOT NULL, -- LogLine ID of the ghost
    came_at     text COLLATE "C" NOT NULL,
    accepted_at text COLLATE "C",          -- null: admitted, and not a guest yet
    grant_id    text COLLATE "C",
    grant_span  bytea,                     -- signed, until the timeline has it
    PRIMARY KEY (tenant, invitation, identity),
    FOREIGN KEY (tenant, invitation) REFERENCES invitations (tenant, id) ON DELETE CASCADE
);

ALTER TABLE invitation_visits ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitation_visits USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));

-- By whom a ghost was claimed, so that who claimed it finds what it did.
ALTER TABLE identities ADD COLUMN claimed_by text COLLATE "C";
UPDATE identities SET claimed_by = convert_from(chain, 'UTF8')::jsonb ->> 'claimed_by' WHERE status = 'claimed';
CREATE INDEX identities_claimed_by ON identities (claimed_by, id) WHERE claimed_by IS NOT NULL;

-- +goose Down
DROP INDEX identities_claimed_by;
ALTER TABLE identities DROP COLUMN claimed_by;
DROP TABLE invitation_visits;
ALTER TABLE invitations DROP COLUMN used;
ALTER TABLE invitations DROP COLUMN uses;
