-- A task that is claimed is written into fewer indexes: those by which people list
-- tasks have an index for each state that they ask for, and none for tasks that
-- run, of which there are few.

-- +goose Up

DROP INDEX tasks_states;
CREATE INDEX tasks_queued ON tasks (tenant, origin, action) WHERE state = 0;
CREATE INDEX tasks_failed ON tasks (tenant, origin, action) WHERE state = 3;
CREATE INDEX tasks_cancelled ON tasks (tenant, origin, action) WHERE state = 4;

-- +goose Down

DROP INDEX tasks_cancelled;
DROP INDEX tasks_failed;
DROP INDEX tasks_queued;
CREATE INDEX tasks_states ON tasks (tenant, state, origin, action) WHERE state <> 2;
