-- Durable tasks (docs/engine.md): what decisions ask the engine to do, and what
-- became of it. Tenants are named by id, because timelines need not stand in this
-- database. A task holds no content of spans: what an action says is read from
-- the timeline when it is done, so that what was erased is done no more. Times
-- are milliseconds since 1970.

-- +goose Up

CREATE TABLE tasks (
    tenant      TEXT NOT NULL,
    origin      TEXT NOT NULL,    -- span that asks for it, or an id made for a request
    action      INTEGER NOT NULL, -- which of the span's actions
    queue       TEXT NOT NULL,
    kind        TEXT NOT NULL,    -- which handler does it
    name        TEXT NOT NULL,    -- what the contract calls it: a type, a webhook
    priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3), -- lower first
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4), -- queued, running, completed, failed, cancelled
    step        INTEGER NOT NULL, -- counts its changes of state
    attempt     INTEGER NOT NULL, -- counts its runs; only the last one may end it
    attempts    INTEGER NOT NULL, -- runs that it may have
    run_at      INTEGER NOT NULL, -- not before
    lease_until INTEGER,          -- of a run; null: it does not run
    cancelling  INTEGER NOT NULL, -- the run is asked to end
    worker      TEXT NOT NULL,    -- who ran it last
    seq         INTEGER,          -- of the entry that names the action; null: asked for by a request
    asked_by    TEXT NOT NULL,    -- LogLine ID of who requested it
    made_at     INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    code        TEXT NOT NULL,    -- why its last run failed
    error       TEXT NOT NULL,
    input       BLOB,             -- of requests
    output      BLOB,             -- JSON object; null: none
    PRIMARY KEY (tenant, origin, action)
) STRICT, WITHOUT ROWID;

CREATE INDEX tasks_ready ON tasks (tenant, queue, priority, run_at, origin, action) WHERE state = 0;
CREATE INDEX tasks_leases ON tasks (lease_until) WHERE state = 1;
-- Nearly all tasks are completed; those are found by their key.
CREATE INDEX tasks_states ON tasks (tenant, state, origin, action) WHERE state <> 2;

-- One row for each queue of a tenant: its counts, its limit, and when the first
-- of its queued tasks is due, null where none is queued.
CREATE TABLE task_queues (
    tenant    TEXT NOT NULL,
    queue     TEXT NOT NULL,
    most      INTEGER NOT NULL, -- that may run at once
    queued    INTEGER NOT NULL,
    running   INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    next_at   INTEGER,
    PRIMARY KEY (tenant, queue)
) STRICT, WITHOUT ROWID;

CREATE INDEX task_queues_turn ON task_queues (tenant, queue) WHERE next_at IS NOT NULL;

-- How far the follower has read each timeline.
CREATE TABLE task_cursors (
    tenant TEXT NOT NULL PRIMARY KEY,
    next   INTEGER NOT NULL -- the first entry that was not looked at
) STRICT, WITHOUT ROWID;

-- Changes of tasks that the timeline does not tell of yet.
CREATE TABLE task_events (
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

-- +goose Down

DROP TABLE task_events;
DROP TABLE task_cursors;
DROP TABLE task_queues;
DROP TABLE tasks;
