-- What timelines are to be told of tasks stands tenant by tenant: whoever tells
-- takes from each in turn, and passes over those where the teller is held without
-- looking at what waits there.

-- +goose Up

CREATE TABLE task_events_by_tenant (
    tenant      TEXT NOT NULL,
    origin      TEXT NOT NULL,
    action      INTEGER NOT NULL,
    caused      INTEGER NOT NULL, -- origin is a span
    step        INTEGER NOT NULL,
    what        TEXT NOT NULL,    -- queued, started, completed, retrying, failed, cancelled
    attempt     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    run_at      INTEGER,
    code        TEXT NOT NULL,
    error       TEXT NOT NULL,
    result      BLOB,
    taken_until INTEGER NOT NULL, -- somebody is telling it
    PRIMARY KEY (tenant, at, origin, action, step)
) STRICT, WITHOUT ROWID;
INSERT INTO task_events_by_tenant SELECT tenant, origin, action, caused, step, what, attempt, at, run_at, code, error, result, taken_until FROM task_events;
DROP TABLE task_events;
ALTER TABLE task_events_by_tenant RENAME TO task_events;

-- +goose Down

CREATE TABLE task_events_by_time (
    tenant      TEXT NOT NULL,
    origin      TEXT NOT NULL,
    action      INTEGER NOT NULL,
    caused      INTEGER NOT NULL, -- origin is a span
    step        INTEGER NOT NULL,
    what        TEXT NOT NULL,    -- queued, started, completed, retrying, failed, cancelled
    attempt     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    run_at      INTEGER,
    code        TEXT NOT NULL,
    error       TEXT NOT NULL,
    result      BLOB,
    taken_until INTEGER NOT NULL, -- somebody is telling it
    PRIMARY KEY (at, tenant, origin, action, step)
) STRICT, WITHOUT ROWID;
INSERT INTO task_events_by_time SELECT tenant, origin, action, caused, step, what, attempt, at, run_at, code, error, result, taken_until FROM task_events;
DROP TABLE task_events;
ALTER TABLE task_events_by_time RENAME TO task_events;
