-- +goose Up

-- Acts of the node's operators that its admin timeline does not tell of yet
-- (docs/administration.md): written where the act is done, also by a command that
-- has not the node's keys, and removed once the timeline has it.
CREATE TABLE node_acts (
    id  TEXT NOT NULL PRIMARY KEY, -- of the span that will tell of it
    act BLOB NOT NULL              -- JSON
) STRICT;

-- Tenants whose tasks rest because they are suspended or closed: what their
-- timelines say, kept so that whoever takes up tasks need not read them.
CREATE TABLE tenant_rests (
    tenant TEXT NOT NULL PRIMARY KEY -- id
) STRICT;

-- +goose Down
DROP TABLE tenant_rests;
DROP TABLE node_acts;
