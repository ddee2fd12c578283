-- Those that read timelines by cursor (docs/engine.md): how far each is in each
-- timeline, as far as it has said, and whether it is held there. Times are
-- milliseconds since 1970.

-- +goose Up

CREATE TABLE followers (
    tenant        TEXT NOT NULL,    -- id
    name          TEXT NOT NULL,    -- tasks, teller, words, mirror
    state         INTEGER NOT NULL, -- 0 running, 1 paused, 2 parked
    step          INTEGER NOT NULL, -- counts its changes of state
    cursor        INTEGER NOT NULL, -- the first entry that was not read
    skip          INTEGER,          -- an entry that is passed over; null: none
    entry         INTEGER,          -- at which it fails; null: at none in particular
    tries         INTEGER NOT NULL, -- that failed there
    code          TEXT NOT NULL,
    error         TEXT NOT NULL,
    failing_since INTEGER,          -- null: it does not fail
    changed_at    INTEGER,          -- null: nobody ever stepped in
    changed_by    TEXT NOT NULL,    -- LogLine ID; empty: the node
    seen_at       INTEGER NOT NULL, -- when it last said how it stands
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX followers_held ON followers (name, tenant) WHERE state <> 0 OR skip IS NOT NULL;

-- Changes of state that the timeline does not tell of yet.
CREATE TABLE follower_events (
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    step       INTEGER NOT NULL,
    what       TEXT NOT NULL, -- paused, parked, resumed, requeued, skipped
    at         INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    entry      INTEGER,
    code       TEXT NOT NULL,
    error      TEXT NOT NULL,
    PRIMARY KEY (at, tenant, name, step)
) STRICT, WITHOUT ROWID;

-- What runs of tasks came to, by the minute, for statistics alone.
CREATE TABLE task_minutes (
    tenant    TEXT NOT NULL,
    queue     TEXT NOT NULL,
    minute    INTEGER NOT NULL, -- since 1970
    completed INTEGER NOT NULL,
    retried   INTEGER NOT NULL, -- runs that failed and are tried again
    failed    INTEGER NOT NULL, -- for good
    PRIMARY KEY (tenant, minute, queue)
) STRICT, WITHOUT ROWID;

CREATE INDEX task_minutes_old ON task_minutes (minute);

-- +goose Down

DROP TABLE task_minutes;
DROP TABLE follower_events;
DROP TABLE followers;
