-- A task that is claimed is written into fewer indexes: those by which people list
-- tasks have an index for each state that they ask for, and none for tasks that
-- run, of which there are few.
--
-- Claiming takes tasks by their place, which stays while their queue is locked, and
-- looks beyond them by one, so that when the next is due is known without another
-- look.

-- +goose Up

DROP INDEX tasks_states;
CREATE INDEX tasks_queued ON tasks (tenant, origin, action) WHERE state = 0;
CREATE INDEX tasks_failed ON tasks (tenant, origin, action) WHERE state = 3;
CREATE INDEX tasks_cancelled ON tasks (tenant, origin, action) WHERE state = 4;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION logline_claim_tasks(now_ms bigint, until_ms bigint, wanted integer, after_tenant text, of_queues text[], by_worker text)
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
            RETURN QUERY WITH given AS MATERIALIZED (
                SELECT k.queue, least(k.most - k.running, share, rest) AS room FROM task_queues k
                JOIN unnest(held_tenants, held_queues) h (tenant, queue) ON h.tenant = k.tenant AND h.queue = k.queue
                WHERE k.tenant = one AND k.running < k.most
            ), found AS MATERIALIZED (
                SELECT g.queue, g.room, f.* FROM given g CROSS JOIN generate_series(0, 3) p (level) CROSS JOIN LATERAL (
                    SELECT t.ctid AS place, t.priority, t.run_at, t.origin, t.action FROM tasks t
                    WHERE t.tenant = one AND t.queue = g.queue AND t.state = 0 AND t.priority = p.level
                    ORDER BY t.run_at, t.origin, t.action LIMIT g.room + 1) f
            ), picked AS MATERIALIZED (
                SELECT r.place FROM (
                    SELECT f.*, row_number() OVER (PARTITION BY f.queue ORDER BY f.priority, f.run_at, f.origin, f.action) AS n
                    FROM found f WHERE f.run_at <= now_ms) r
                WHERE r.n <= r.room ORDER BY r.priority, r.run_at, r.origin, r.action LIMIT least(share, rest)
            ), begun AS (
                UPDATE tasks t SET state = 1, step = t.step + 1, attempt = t.attempt + 1, lease_until = until_ms, worker = by_worker,
                    cancelling = false, changed_at = now_ms
                FROM picked p WHERE t.ctid = p.place RETURNING t.*
            ), counted AS (
                UPDATE task_queues k SET queued = k.queued - c.n, running = k.running + c.n, next_at = c.next_at
                FROM (SELECT g.queue, (SELECT count(*) FROM begun b WHERE b.queue = g.queue) AS n,
                        (SELECT min(f.run_at) FROM found f WHERE f.queue = g.queue AND f.place NOT IN (SELECT p.place FROM picked p)) AS next_at
                    FROM given g) c
                WHERE k.tenant = one AND k.queue = c.queue
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
END
$$;
-- +goose StatementEnd

-- +goose Down

DROP INDEX tasks_cancelled;
DROP INDEX tasks_failed;
DROP INDEX tasks_queued;
CREATE INDEX tasks_states ON tasks (tenant, state, origin, action) WHERE state <> 2;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION logline_claim_tasks(now_ms bigint, until_ms bigint, wanted integer, after_tenant text, of_queues text[], by_worker text)
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
