-- Those that read timelines by cursor (docs/engine.md): how far each is in each
-- timeline, as far as it has said, and whether it is held there. Times are
-- milliseconds since 1970. The rows are open to whom the tenant's tasks are
-- (0012).

-- +goose Up

CREATE TABLE followers (
    tenant        text COLLATE "C" NOT NULL, -- id
    name          text COLLATE "C" NOT NULL, -- tasks, teller, words, mirror
    state         smallint NOT NULL CHECK (state BETWEEN 0 AND 2), -- running, paused, parked
    step          integer NOT NULL,          -- counts its changes of state
    cursor        bigint NOT NULL,           -- the first entry that was not read
    skip          bigint,                    -- an entry that is passed over; null: none
    entry         bigint,                    -- at which it fails; null: at none in particular
    tries         integer NOT NULL,          -- that failed there
    code          text COLLATE "C" NOT NULL,
    error         text COLLATE "C" NOT NULL,
    failing_since bigint,                    -- null: it does not fail
    changed_at    bigint,                    -- null: nobody ever stepped in
    changed_by    text COLLATE "C" NOT NULL, -- LogLine ID; empty: the node
    seen_at       bigint NOT NULL,           -- when it last said how it stands
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50);

CREATE INDEX followers_held ON followers (name, tenant) WHERE state <> 0 OR skip IS NOT NULL;

-- Changes of state that the timeline does not tell of yet.
CREATE TABLE follower_events (
    tenant     text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    step       integer NOT NULL,
    what       text COLLATE "C" NOT NULL, -- paused, parked, resumed, requeued, skipped
    at         bigint NOT NULL,
    changed_by text COLLATE "C" NOT NULL,
    entry      bigint,
    code       text COLLATE "C" NOT NULL,
    error      text COLLATE "C" NOT NULL,
    PRIMARY KEY (at, tenant, name, step)
);

-- What runs of tasks came to, by the minute, for statistics alone.
CREATE TABLE task_minutes (
    tenant    text COLLATE "C" NOT NULL,
    queue     text COLLATE "C" NOT NULL,
    minute    bigint NOT NULL, -- since 1970
    completed bigint NOT NULL,
    retried   bigint NOT NULL, -- runs that failed and are tried again
    failed    bigint NOT NULL, -- for good
    PRIMARY KEY (tenant, minute, queue)
);

CREATE INDEX task_minutes_old ON task_minutes (minute);

ALTER TABLE followers       ENABLE ROW LEVEL SECURITY;
ALTER TABLE follower_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_minutes    ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON followers       USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));
CREATE POLICY tenant ON follower_events USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));
CREATE POLICY tenant ON task_minutes    USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));

-- +goose Down

DROP TABLE task_minutes;
DROP TABLE follower_events;
DROP TABLE followers;
