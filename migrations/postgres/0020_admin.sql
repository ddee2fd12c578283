-- +goose Up

-- Acts of the node's operators that its admin timeline does not tell of yet
-- (docs/administration.md): written where the act is done, also by a command that
-- has not the node's keys, and removed once the timeline has it.
CREATE TABLE node_acts (
    id  text COLLATE "C" PRIMARY KEY, -- of the span that will tell of it
    act bytea NOT NULL             -- JSON
);

-- Tenants whose tasks rest because they are suspended or closed: what their
-- timelines say, kept so that whoever takes up tasks need not read them. The rows are open to whom the tenant's tasks are (0012).
CREATE TABLE tenant_rests (
    tenant text COLLATE "C" PRIMARY KEY -- id
);

ALTER TABLE tenant_rests ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenant_rests USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));

-- +goose Down
DROP TABLE tenant_rests;
DROP TABLE node_acts;
