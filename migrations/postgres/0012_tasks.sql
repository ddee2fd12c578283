-- Durable tasks (docs/engine.md): what decisions ask the engine to do, and what
-- became of it. Tenants are named by id, because timelines need not stand in this
-- database. A task holds no content of spans: what an action says is read from
-- the timeline when it is done, so that what was erased is done no more.
--
-- A task changes only while its queue's row is locked, in order of tenant and
-- queue where there are several: so counts and limits are exact, and nobody
-- waits in a circle. Times are milliseconds since 1970.

-- +goose Up

-- Whose tasks a transaction works on: a tenant's id, or '*' for workers, who
-- take turns among all; null for nobody's.
-- +goose StatementBegin
CREATE FUNCTION logline_tasks() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('logline.tasks', true), '') $$;
-- +goose StatementEnd

CREATE TABLE tasks (
    tenant      text COLLATE "C" NOT NULL,
    origin      text COLLATE "C" NOT NULL, -- span that asks for it, or an id made for a request
    action      integer NOT NULL,          -- which of the span's actions
    queue       text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL, -- which handler does it
    name        text COLLATE "C" NOT NULL, -- what the contract calls it: a type, a webhook
    priority    smallint NOT NULL CHECK (priority BETWEEN 0 AND 3), -- lower first
    state       smallint NOT NULL CHECK (state BETWEEN 0 AND 4), -- queued, running, completed, failed, cancelled
    step        integer NOT NULL,          -- counts its changes of state
    attempt     integer NOT NULL,          -- counts its runs; only the last one may end it
    attempts    integer NOT NULL,          -- runs that it may have
    run_at      bigint NOT NULL,           -- not before
    lease_until bigint,                    -- of a run; null: it does not run
    cancelling  boolean NOT NULL,          -- the run is asked to end
    worker      text COLLATE "C" NOT NULL, -- who ran it last
    seq         bigint,                    -- of the entry that names the action; null: asked for by a request
    asked_by    text COLLATE "C" NOT NULL, -- LogLine ID of who requested it
    made_at     bigint NOT NULL,
    changed_at  bigint NOT NULL,
    code        text COLLATE "C" NOT NULL, -- why its last run failed
    error       text COLLATE "C" NOT NULL,
    input       bytea,                     -- of requests
    output      bytea,                     -- JSON object; null: none
    PRIMARY KEY (tenant, origin, action)
) WITH (fillfactor = 80);

CREATE INDEX tasks_ready ON tasks (tenant, queue, priority, run_at, origin, action) WHERE state = 0;
CREATE INDEX tasks_leases ON tasks (lease_until) WHERE state = 1;
-- Nearly all tasks are completed; those are found by their key.
CREATE INDEX tasks_states ON tasks (tenant, state, origin, action) WHERE state <> 2;

-- One row for each queue of a tenant: its counts, its limit, and when the first
-- of its queued tasks is due, null where none is queued.
CREATE TABLE task_queues (
    tenant    text COLLATE "C" NOT NULL,
    queue     text COLLATE "C" NOT NULL,
    most      integer NOT NULL, -- that may run at once
    queued    bigint NOT NULL,
    running   bigint NOT NULL,
    completed bigint NOT NULL,
    failed    bigint NOT NULL,
    cancelled bigint NOT NULL,
    next_at   bigint,
    PRIMARY KEY (tenant, queue)
) WITH (fillfactor = 30);

CREATE INDEX task_queues_turn ON task_queues (tenant, queue) WHERE next_at IS NOT NULL;

-- How far the follower has read each timeline.
CREATE TABLE task_cursors (
    tenant text COLLATE "C" PRIMARY KEY,
    next   bigint NOT NULL -- the first entry that was not looked at
) WITH (fillfactor = 30);

-- Changes of tasks that the timeline does not tell of yet.
CREATE TABLE task_events (
    tenant      text COLLATE "C" NOT NULL,
    origin      text COLLATE "C" NOT NULL,
    action      integer NOT NULL,
    caused      boolean NOT NULL, -- origin is a span
    step        integer NOT NULL,
    what        text COLLATE "C" NOT NULL, -- queued, started, completed, retrying, failed, cancelled
    attempt     integer NOT NULL,
    at          bigint NOT NULL,
    run_at      bigint,
    code        text COLLATE "C" NOT NULL,
    error       text COLLATE "C" NOT NULL,
    result      bytea,
    taken_until bigint NOT NULL, -- somebody is telling it
    PRIMARY KEY (at, tenant, origin, action, step)
);

ALTER TABLE tasks        ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_queues  ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_cursors ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_events  ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON tasks        USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));
CREATE POLICY tenant ON task_queues  USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));
CREATE POLICY tenant ON task_cursors USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));
CREATE POLICY tenant ON task_events  USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));

-- Claiming, in turns: tenants behind the last one that this worker served come
-- first, each gets its share of what is wanted, and what is left goes round
-- again. Queues that somebody else is claiming from are passed over unless there
-- is nothing else. Each statement sees what was committed before it began, and
-- so everything that was done to the queues whose rows are locked.
-- +goose StatementBegin
CREATE FUNCTION logline_claim_tasks(now_ms bigint, until_ms bigint, wanted integer, after_tenant text, of_queues text[], by_worker text)
RETURNS SETOF tasks LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    turns text[]; -- tenants, in their order
    held_tenants text[];
    held_queues text[];
    one text;
    rest integer := wanted;
    share integer;
    got integer;
    pass integer;
BEGIN
    PERFORM set_config('logline.tasks', '*', true);
    SELECT array_agg(r.tenant ORDER BY r.round, r.tenant) INTO turns FROM (
        SELECT min(c.round) AS round, c.tenant FROM (
            (SELECT 0 AS round, k.tenant FROM task_queues k WHERE k.next_at IS NOT NULL AND k.next_at <= now_ms
                AND k.running < k.most AND k.queue = ANY (of_queues) AND k.tenant > after_tenant ORDER BY k.tenant LIMIT wanted)
            UNION ALL
            (SELECT 1, k.tenant FROM task_queues k WHERE k.next_at IS NOT NULL AND k.next_at <= now_ms
                AND k.running < k.most AND k.queue = ANY (of_queues) AND k.tenant <= after_tenant ORDER BY k.tenant LIMIT wanted)) c
        GROUP BY c.tenant ORDER BY 1, 2 LIMIT wanted) r;
    IF turns IS NULL THEN
        RETURN;
    END IF;
    -- A queue that changed while it was being locked is locked all the same, but
    -- not had. Before this waits for others it gives such back, so that whoever
    -- waits holds nothing that stands behind what is waited for.
    BEGIN
        SELECT array_agg(h.tenant), array_agg(h.queue) INTO held_tenants, held_queues FROM (
            SELECT k.tenant, k.queue FROM task_queues k WHERE k.tenant = ANY (turns) AND k.queue = ANY (of_queues)
                AND k.next_at <= now_ms AND k.running < k.most ORDER BY k.tenant, k.queue FOR UPDATE SKIP LOCKED) h;
        IF held_tenants IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'LL001';
        END IF;
    EXCEPTION WHEN SQLSTATE 'LL001' THEN
        SELECT array_agg(h.tenant), array_agg(h.queue) INTO held_tenants, held_queues FROM (
            SELECT k.tenant, k.queue FROM task_queues k WHERE k.tenant = ANY (turns) AND k.queue = ANY (of_queues)
                AND k.next_at <= now_ms AND k.running < k.most ORDER BY k.tenant, k.queue FOR UPDATE) h;
    END;
    IF held_tenants IS NULL THEN
        RETURN;
    END IF;
    LOOP
        share := greatest(1, rest / cardinality(turns));
        pass := 0;
        FOREACH one IN ARRAY turns LOOP
            RETURN QUERY WITH picked AS MATERIALIZED (
                SELECT c.origin, c.action
                FROM (SELECT k.queue, least(k.most - k.running, share, rest) AS room FROM task_queues k
                    JOIN unnest(held_tenants, held_queues) h (tenant, queue) ON h.tenant = k.tenant AND h.queue = k.queue
                    WHERE k.tenant = one AND k.running < k.most) q
                CROSS JOIN LATERAL (SELECT f.* FROM generate_series(0, 3) p (level) CROSS JOIN LATERAL (
                        SELECT t.origin, t.action, t.priority, t.run_at FROM tasks t
                        WHERE t.tenant = one AND t.queue = q.queue AND t.state = 0 AND t.priority = p.level AND t.run_at <= now_ms
                        ORDER BY t.run_at, t.origin, t.action LIMIT q.room) f
                    ORDER BY f.priority, f.run_at, f.origin, f.action LIMIT q.room) c
                ORDER BY c.priority, c.run_at, c.origin, c.action LIMIT least(share, rest)
            ), begun AS (
                UPDATE tasks t SET state = 1, step = t.step + 1, attempt = t.attempt + 1, lease_until = until_ms, worker = by_worker,
                    cancelling = false, changed_at = now_ms
                FROM picked p WHERE t.tenant = one AND t.origin = p.origin AND t.action = p.action RETURNING t.*
            ), counted AS (
                UPDATE task_queues k SET queued = k.queued - b.n, running = k.running + b.n
                FROM (SELECT queue, count(*) AS n FROM begun GROUP BY queue) b WHERE k.tenant = one AND k.queue = b.queue
            ), noted AS (
                INSERT INTO task_events (tenant, origin, action, caused, step, what, attempt, at, code, error, taken_until)
                SELECT one, b.origin, b.action, b.seq IS NOT NULL, b.step, 'started', b.attempt, now_ms, '', '', 0 FROM begun b
            ) SELECT * FROM begun;
            GET DIAGNOSTICS got = ROW_COUNT;
            rest := rest - got;
            pass := pass + got;
            EXIT WHEN rest = 0;
        END LOOP;
        EXIT WHEN rest = 0 OR pass = 0;
    END LOOP;
    UPDATE task_queues k SET next_at = (SELECT min(f.run_at) FROM generate_series(0, 3) p (level) CROSS JOIN LATERAL (
            SELECT t.run_at FROM tasks t WHERE t.tenant = k.tenant AND t.queue = k.queue AND t.state = 0 AND t.priority = p.level
            ORDER BY t.run_at LIMIT 1) f)
    FROM unnest(held_tenants, held_queues) h (tenant, queue) WHERE k.tenant = h.tenant AND k.queue = h.queue;
END
$$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION logline_claim_tasks;
DROP TABLE task_events;
DROP TABLE task_cursors;
DROP TABLE task_queues;
DROP TABLE tasks;
DROP FUNCTION logline_tasks;
