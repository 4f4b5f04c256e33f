"""Runs at once for each agent, time that counts over claims, and runs whose worker dies again and again.

The functions of the release before stay as they are: its workers go on with them while new ones are deployed.
"""

from alembic import op

from treadle.kernel.states import COUNTED, FINAL, MOVES

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE executions
    ADD COLUMN active_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN active_since timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN deaths smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN executions.active_ms IS
    'Milliseconds for which workers had the run, the claim that lasts excluded (that one began at active_since).';
COMMENT ON COLUMN executions.deaths IS
    'How many workers in a row have died while they had the run, and nothing of it was done in between.';

-- One line for each agent, so that a long one does not hide the others. executions_queued serves executions_claim_v1.
CREATE INDEX executions_lines ON executions (workspace_id, graph_id, deaths, queued_at)
    WHERE status = 'QUEUED' AND parent_id IS NULL;
-- Who is at work is counted by agent; looking for runs without a worker reads all of it, in whatever order.
CREATE INDEX executions_at_work ON executions (workspace_id, graph_id) WHERE worker_id IS NOT NULL;
DROP INDEX executions_held;
CREATE INDEX inbox_stops ON inbox (root_id) WHERE kind = 'stop' AND folded_at IS NULL;
"""

STATUS_GUARD = """
CREATE OR REPLACE FUNCTION executions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status IS DISTINCT FROM OLD.status THEN
        IF NOT (%(moves)s) THEN
            RAISE EXCEPTION 'execution %% cannot go from %% to %%', OLD.id, OLD.status, NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
        IF OLD.status IN (%(counted)s) THEN
            NEW.active_ms := OLD.active_ms
                + greatest(0, floor(extract(epoch FROM clock_timestamp() - NEW.active_since) * 1000))::bigint;
        ELSIF NEW.status IN (%(counted)s) THEN
            NEW.active_since := clock_timestamp();
        END IF;
    END IF;
    RETURN NEW;
END $$;
"""

ROOM = """
CREATE FUNCTION executions_at_work_v1(p_workspace uuid, p_graph text, p_most integer) RETURNS integer
LANGUAGE plpgsql AS $$
BEGIN
    -- Roots of an agent (of the whole workspace without p_graph) that a worker has, counted no further than p_most.
    IF p_graph IS NULL THEN
        RETURN (SELECT count(*) FROM (
            SELECT FROM executions e WHERE e.workspace_id = p_workspace AND e.worker_id IS NOT NULL LIMIT p_most
        ) AS counted);
    END IF;
    RETURN (SELECT count(*) FROM (
        SELECT FROM executions e
        WHERE e.workspace_id = p_workspace AND e.graph_id = p_graph AND e.worker_id IS NOT NULL LIMIT p_most
    ) AS counted);
END $$;

CREATE FUNCTION executions_in_line_v1(p_workspace uuid, p_graph text, p_most integer) RETURNS integer
LANGUAGE plpgsql AS $$
BEGIN
    -- The same of roots that are queued.
    IF p_graph IS NULL THEN
        RETURN (SELECT count(*) FROM (
            SELECT FROM executions e
            WHERE e.workspace_id = p_workspace AND e.status = 'QUEUED' AND e.parent_id IS NULL LIMIT p_most
        ) AS counted);
    END IF;
    RETURN (SELECT count(*) FROM (
        SELECT FROM executions e
        WHERE e.workspace_id = p_workspace AND e.graph_id = p_graph AND e.status = 'QUEUED' AND e.parent_id IS NULL
        LIMIT p_most
    ) AS counted);
END $$;

CREATE FUNCTION executions_lock_v1(p_workspace uuid) RETURNS void LANGUAGE sql AS $$
    -- Whoever lets runs of a workspace begin, and may reach a limit with them, does so one after the other. Far below
    -- its limits (a sixteenth) nobody asks: fifteen more could do the same at that moment without reaching one.
    SELECT pg_advisory_xact_lock(hashtextextended(p_workspace::text, 1953653100));
$$;

CREATE FUNCTION executions_room_v1(
    p_workspace uuid, p_graph text, p_wanted integer, p_per_workspace integer, p_per_agent integer
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    of_agent integer;
    of_workspace integer;
BEGIN
    -- How many of the wanted new roots of an agent may begin now.
    of_agent := p_wanted + executions_at_work_v1(p_workspace, p_graph, p_per_agent / 16 + 1);
    of_workspace := p_wanted + executions_at_work_v1(p_workspace, NULL, p_per_workspace / 16 + 1);
    IF of_agent <= p_per_agent / 16 AND of_workspace <= p_per_workspace / 16 THEN
        RETURN p_wanted;
    END IF;
    PERFORM executions_lock_v1(p_workspace);
    of_agent := p_per_agent - executions_at_work_v1(p_workspace, p_graph, p_per_agent);
    of_workspace := p_per_workspace - executions_at_work_v1(p_workspace, NULL, p_per_workspace);
    -- Whoever waits in the queue comes first.
    of_agent := of_agent - executions_in_line_v1(p_workspace, p_graph, of_agent);
    of_workspace := of_workspace - executions_in_line_v1(p_workspace, NULL, of_workspace);
    RETURN greatest(0, least(p_wanted, of_agent, of_workspace));
END $$;

CREATE FUNCTION executions_admit_v1(p_created jsonb, p_per_workspace integer, p_per_agent integer) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    agent record;
    free integer;
    current uuid;
    taken integer;  -- of the current workspace, by agents before this one
    places jsonb := '{}';  -- for agents that have not enough: how many
BEGIN
    -- Those of the new roots that may begin now.
    FOR agent IN
        SELECT c.workspace_id, c.graph_id, count(*)::integer AS wanted
        FROM jsonb_to_recordset(p_created) AS c(workspace_id uuid, graph_id text) GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        IF agent.workspace_id IS DISTINCT FROM current THEN
            current := agent.workspace_id;
            taken := 0;
        END IF;
        free := executions_room_v1(
            agent.workspace_id, agent.graph_id, agent.wanted, p_per_workspace - taken, p_per_agent);
        taken := taken + free;
        IF free < agent.wanted THEN
            places := places || jsonb_build_object(agent.workspace_id || ' ' || agent.graph_id, free);
        END IF;
    END LOOP;
    IF places = '{}' THEN
        RETURN p_created;
    END IF;
    RETURN (
        SELECT jsonb_agg(t.element) FROM (
            SELECT c.element, c.agent, row_number() OVER (PARTITION BY c.agent ORDER BY c.place) AS turn
            FROM (
                SELECT element, place, (element ->> 'workspace_id') || ' ' || (element ->> 'graph_id') AS agent
                FROM jsonb_array_elements(p_created) WITH ORDINALITY AS e(element, place)
            ) AS c
        ) AS t
        WHERE t.turn <= coalesce((places ->> t.agent)::bigint, t.turn)
    );
END $$;
"""

JOURNAL_WRITE = """
CREATE FUNCTION journal_write_v2(
    p_worker uuid,
    p_owners uuid[], p_owner_epochs integer[],
    p_created jsonb, p_children jsonb,
    p_roots uuid[], p_executions uuid[], p_workspaces uuid[], p_epochs integer[],
    p_seqs bigint[], p_counts integer[], p_bodies bytea[],
    p_changed jsonb,
    p_folded bigint[],
    p_reviews jsonb,
    p_charges jsonb,
    p_moved_on uuid[],
    p_per_workspace integer, p_per_agent integer
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    held uuid[];  -- those of the owners that this worker still holds: nothing is written for the others
    everyone boolean;  -- all of them: then no row needs to be looked for in held
BEGIN
    -- Whoever takes this worker over deletes its row, and waits for this lock: no write of a lost lease can follow.
    PERFORM 1 FROM workers WHERE id = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN '{}';
    END IF;
    IF p_created IS NOT NULL THEN
        -- One that is over a limit is not made, so it is not held: its worker queues it instead.
        PERFORM executions_create_v1(p_worker, executions_admit_v1(p_created, p_per_workspace, p_per_agent), NULL);
    END IF;
    SELECT coalesce(array_agg(e.id), '{}') INTO held
    FROM unnest(p_owners, p_owner_epochs) AS b(root, epoch)
    -- OFFSET 0 keeps this a look-up by id for each owner: a join with all that the worker holds is quadratic.
    CROSS JOIN LATERAL (SELECT x.id, x.worker_id, x.epoch FROM executions x WHERE x.id = b.root OFFSET 0) AS e
    WHERE e.worker_id = p_worker AND e.epoch = b.epoch;
    everyone := cardinality(held) = cardinality(p_owners);
    IF p_children IS NOT NULL THEN
        PERFORM executions_create_v1(p_worker, p_children, held);
    END IF;
    INSERT INTO journal (root_id, execution_id, seq, count, epoch, workspace_id, body)
    SELECT b.root, b.execution, b.seq, b.count, b.epoch, b.workspace, b.body
    FROM unnest(p_roots, p_executions, p_workspaces, p_epochs, p_seqs, p_counts, p_bodies)
        AS b(root, execution, workspace, epoch, seq, count, body)
    WHERE everyone OR b.root = ANY (held);
    IF p_reviews IS NOT NULL THEN
        INSERT INTO reviews (execution_id, firing, root_id, workspace_id, node_id, payload)
        SELECT r.execution_id, r.firing, r.root_id, r.workspace_id, r.node_id, r.payload
        FROM jsonb_to_recordset(p_reviews) AS r(execution_id uuid, firing integer, root_id uuid, workspace_id uuid,
            node_id text, payload jsonb)
        WHERE r.root_id = ANY (held)
        ON CONFLICT (execution_id, firing) DO NOTHING;
    END IF;
    IF p_charges IS NOT NULL THEN
        INSERT INTO charges (execution_id, firing, attempt, kind, workspace_id, amount, written_off)
        SELECT c.execution_id, c.firing, c.attempt, c.kind, c.workspace_id, c.amount, c.written_off
        FROM jsonb_to_recordset(p_charges) AS c(root_id uuid, execution_id uuid, firing integer, attempt integer,
            kind text, workspace_id uuid, amount bigint, written_off bigint)
        WHERE c.root_id = ANY (held)
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(p_folded) > 0 THEN
        UPDATE inbox SET folded_at = now()
        WHERE id = ANY (p_folded) AND folded_at IS NULL AND root_id = ANY (held);
    END IF;
    IF cardinality(p_moved_on) > 0 THEN
        UPDATE executions SET deaths = 0 WHERE id = ANY (p_moved_on) AND id = ANY (held);
    END IF;
    IF p_changed IS NOT NULL THEN
        UPDATE executions e SET
            status = c.status, outputs = c.outputs, warnings = c.warnings, failures = c.failures, nodes = c.nodes,
            error = c.error, firings = c.firings, failed = c.failed, cost = c.cost, last_seq = c.last_seq,
            wake_at = c.wake_at,
            worker_id = CASE WHEN c.status = 'RUNNING' THEN e.worker_id END,
            queued_at = CASE WHEN c.status = 'QUEUED' THEN now() ELSE e.queued_at END,
            ended_at = CASE WHEN c.status IN ('COMPLETED', 'FAILED', 'TERMINATED') THEN now() END
        FROM jsonb_to_recordset(p_changed) AS c(id uuid, root_id uuid, status execution_status, outputs jsonb,
            warnings jsonb, failures jsonb, nodes jsonb, error text, firings integer, failed integer, cost bigint,
            last_seq bigint, wake_at timestamptz)
        WHERE e.id = c.id AND c.root_id = ANY (held);
        -- A row that was added to the inbox while the run was being put to sleep must wake it again.
        UPDATE executions e SET status = 'QUEUED', queued_at = now(), wake_at = NULL
        WHERE e.id = ANY (held) AND e.status IN ('WAITING', 'REVIEW')
            AND EXISTS (SELECT 1 FROM inbox i WHERE i.root_id = e.id AND i.folded_at IS NULL);
    END IF;
    RETURN held;
END $$;
"""

CLAIM = """
CREATE FUNCTION executions_next_v1(
    p_limit integer, p_per_workspace integer, p_per_agent integer, p_company integer[], p_format smallint
) RETURNS TABLE (id uuid, workspace_id uuid, near boolean, turn bigint, queued_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- Whose turn it is. A line is what is queued of one agent, apart for each number of deaths; lines are found by
    -- skipping through the index, however long they are.
    RETURN QUERY
    WITH RECURSIVE lines AS (
        (SELECT e.workspace_id, e.graph_id, e.deaths FROM executions e
         WHERE e.status = 'QUEUED' AND e.parent_id IS NULL
         ORDER BY e.workspace_id, e.graph_id, e.deaths LIMIT 1)
        UNION ALL
        SELECT n.workspace_id, n.graph_id, n.deaths
        FROM lines l CROSS JOIN LATERAL (
            SELECT e.workspace_id, e.graph_id, e.deaths FROM executions e
            WHERE e.status = 'QUEUED' AND e.parent_id IS NULL
                AND (e.workspace_id, e.graph_id, e.deaths) > (l.workspace_id, l.graph_id, l.deaths)
            ORDER BY e.workspace_id, e.graph_id, e.deaths LIMIT 1
        ) AS n
    ), people AS MATERIALIZED (
        SELECT w.workspace_id, p_per_workspace - executions_at_work_v1(w.workspace_id, NULL, p_per_workspace) AS free
        FROM (SELECT DISTINCT l.workspace_id FROM lines l) AS w
    ), agents AS MATERIALIZED (
        SELECT a.workspace_id, a.graph_id, p.free AS workspace_free,
            p_per_agent - executions_at_work_v1(a.workspace_id, a.graph_id, p_per_agent) AS free
        FROM (SELECT DISTINCT l.workspace_id, l.graph_id FROM lines l) AS a
        JOIN people p ON p.workspace_id = a.workspace_id AND p.free > 0
    ), places AS (
        SELECT l.workspace_id, l.graph_id, l.deaths, a.workspace_free, a.free,
            p_company[least(l.deaths + 1, cardinality(p_company))] AS company,
            -- Enough of each line to fill the claim in turns, and of many lines not much more than that.
            greatest(1, 4 * p_limit / count(*) OVER ()) AS most
        FROM lines l JOIN agents a ON a.workspace_id = l.workspace_id AND a.graph_id = l.graph_id AND a.free > 0
    ), first AS (
        SELECT q.id, q.queued_at, p.workspace_id, p.deaths, p.workspace_free, p.free, p.company,
            row_number() OVER (PARTITION BY p.workspace_id, p.graph_id ORDER BY q.queued_at, q.id) AS in_agent
        FROM places p CROSS JOIN LATERAL (
            SELECT e.id, e.queued_at FROM executions e
            WHERE e.workspace_id = p.workspace_id AND e.graph_id = p.graph_id AND e.deaths = p.deaths
                AND e.status = 'QUEUED' AND e.parent_id IS NULL AND e.format <= p_format
            ORDER BY e.queued_at LIMIT greatest(0, least(p_limit, p.free, p.company, p.most))
        ) AS q
    ), fair AS (
        -- Everybody's first run comes before anybody's second, and so do those of one workspace's agents.
        SELECT f.*,
            row_number() OVER (PARTITION BY f.workspace_id ORDER BY f.in_agent, f.queued_at, f.id) AS in_workspace
        FROM first f WHERE f.in_agent <= f.free
    ), fit AS (
        SELECT f.*, row_number() OVER (PARTITION BY f.deaths ORDER BY f.in_workspace, f.queued_at, f.id) AS in_company
        FROM fair f WHERE f.in_workspace <= f.workspace_free
    )
    SELECT f.id, f.workspace_id,
        (p_per_agent - f.free + p_limit > p_per_agent / 16
            OR p_per_workspace - f.workspace_free + p_limit > p_per_workspace / 16),
        f.in_workspace, f.queued_at
    FROM fit f WHERE f.in_company <= f.company
    ORDER BY f.in_workspace, f.queued_at, f.id LIMIT p_limit;
END $$;

CREATE FUNCTION executions_within_v1(p_chosen uuid[], p_per_workspace integer, p_per_agent integer) RETURNS uuid[]
LANGUAGE sql AS $$
    -- Those of the chosen (in their order) that are still within the limits.
    WITH chosen AS MATERIALIZED (
        SELECT e.id, e.workspace_id, e.graph_id, c.place
        FROM unnest(p_chosen) WITH ORDINALITY AS c(id, place)
        JOIN executions e ON e.id = c.id AND e.status = 'QUEUED'
    ), agents AS MATERIALIZED (
        SELECT a.workspace_id, a.graph_id,
            p_per_agent - executions_at_work_v1(a.workspace_id, a.graph_id, p_per_agent) AS free
        FROM (SELECT DISTINCT c.workspace_id, c.graph_id FROM chosen c) AS a
    ), people AS MATERIALIZED (
        SELECT w.workspace_id, p_per_workspace - executions_at_work_v1(w.workspace_id, NULL, p_per_workspace) AS free
        FROM (SELECT DISTINCT c.workspace_id FROM chosen c) AS w
    ), ranked AS (
        SELECT c.id, c.place, c.workspace_id, a.free,
            row_number() OVER (PARTITION BY c.workspace_id, c.graph_id ORDER BY c.place) AS in_agent
        FROM chosen c JOIN agents a ON a.workspace_id = c.workspace_id AND a.graph_id = c.graph_id
    )
    SELECT array_agg(r.id ORDER BY r.place) FROM (
        SELECT x.id, x.place, x.workspace_id,
            row_number() OVER (PARTITION BY x.workspace_id ORDER BY x.place) AS in_workspace
        FROM ranked x WHERE x.in_agent <= x.free
    ) AS r
    JOIN people p ON p.workspace_id = r.workspace_id
    WHERE r.in_workspace <= p.free;
$$;

CREATE FUNCTION executions_claim_v2(
    p_worker uuid, p_limit integer, p_per_workspace integer, p_per_agent integer, p_company integer[],
    p_format smallint
) RETURNS SETOF executions LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    chosen uuid[];
    stopped uuid[];
    near uuid[];
    each uuid;
BEGIN
    PERFORM 1 FROM workers WHERE id = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT array_agg(n.id ORDER BY n.turn, n.queued_at, n.id),
        array_agg(DISTINCT n.workspace_id) FILTER (WHERE n.near)
    INTO chosen, near
    FROM executions_next_v1(p_limit, p_per_workspace, p_per_agent, p_company, p_format) AS n;
    IF near IS NOT NULL THEN
        FOREACH each IN ARRAY near LOOP
            PERFORM executions_lock_v1(each);
        END LOOP;
        chosen := executions_within_v1(chosen, p_per_workspace, p_per_agent);
    END IF;
    -- What is to be stopped takes nobody's place: it ends at once.
    stopped := ARRAY(
        SELECT DISTINCT i.root_id FROM inbox i JOIN executions e ON e.id = i.root_id
        WHERE i.kind = 'stop' AND i.folded_at IS NULL AND e.status = 'QUEUED' AND e.format <= p_format
        LIMIT p_limit);
    RETURN QUERY
    UPDATE executions e SET
        status = 'RUNNING', worker_id = p_worker, epoch = e.epoch + 1,
        started_at = coalesce(e.started_at, now()), wake_at = NULL
    FROM (
        SELECT f.id FROM unnest(stopped || chosen) AS c(id)
        -- OFFSET 0 keeps this a look-up by id: otherwise the whole queue may be read for it.
        CROSS JOIN LATERAL (
            SELECT x.id, x.status, x.parent_id FROM executions x WHERE x.id = c.id OFFSET 0 FOR UPDATE SKIP LOCKED
        ) AS f
        WHERE f.status = 'QUEUED' AND f.parent_id IS NULL
    ) AS free
    WHERE e.id = free.id
    RETURNING e.*;
END $$;

CREATE FUNCTION inbox_tidy_v1() RETURNS void LANGUAGE sql AS $$
    -- Stops that came when the run was ending: nobody will fold them.
    UPDATE inbox i SET folded_at = now() FROM executions e
    WHERE i.kind = 'stop' AND i.folded_at IS NULL AND e.id = i.root_id
        AND e.status IN ('COMPLETED', 'FAILED', 'TERMINATED');
$$;
"""

DEATHS = """
CREATE FUNCTION executions_end_v1(p_root uuid, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    each executions;
    at bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    last bigint;
    by_epoch integer := (SELECT epoch FROM executions WHERE id = p_root);
BEGIN
    -- Ends a run with its sub-agents, without a worker that would have to read it. The caller has locked its row.
    FOR each IN SELECT * FROM executions WHERE id = p_root OR (root_id = p_root AND parent_id IS NOT NULL) LOOP
        CONTINUE WHEN each.status IN ('COMPLETED', 'FAILED', 'TERMINATED');
        SELECT coalesce(max(j.seq + j.count - 1), 0) INTO last
        FROM journal j WHERE j.root_id = p_root AND j.execution_id = each.id;
        INSERT INTO journal (root_id, execution_id, seq, count, epoch, workspace_id, body)
        VALUES (p_root, each.id, last + 1, 2, by_epoch, each.workspace_id, convert_to(
            jsonb_build_array(
                jsonb_build_array('stop', p_reason, at), jsonb_build_array('close', 'FAILED', at, p_reason)
            )::text, 'UTF8'));
        UPDATE executions SET status = 'FAILED', error = p_reason, worker_id = NULL, wake_at = NULL,
            last_seq = last + 2, ended_at = now() WHERE id = each.id;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION executions_give_up_v1(p_worker uuid, p_root uuid, p_epoch integer, p_reason text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- What cannot be written or read back would fail in every worker: the run ends here, and says why.
    PERFORM 1 FROM workers WHERE id = p_worker FOR KEY SHARE;
    PERFORM 1 FROM executions WHERE id = p_root AND worker_id = p_worker AND epoch = p_epoch FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM executions_end_v1(p_root, p_reason);
    RETURN true;
END $$;

CREATE FUNCTION workers_bury_v2(
    p_worker uuid, p_dead uuid[], p_lease_seconds double precision, p_most_deaths integer, p_reason text
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[];
    ends timestamptz[];
    blamed uuid[];  -- those of the gone that died, and did not only lose a database that was away
    freed integer;
    hopeless uuid[];
    each uuid;
BEGIN
    -- Takes over what dead workers had: those that are known to be dead, and those whose lease has run out.
    WITH buried AS (
        DELETE FROM workers w
        WHERE w.id = ANY (p_dead) OR (w.expires_at < clock_timestamp() AND w.id <> p_worker)
        RETURNING w.id, w.expires_at
    )
    SELECT array_agg(b.id), array_agg(b.expires_at), array_agg(b.id) FILTER (WHERE
        b.id = ANY (p_dead) OR NOT isfinite(b.expires_at)
        OR b.expires_at > pg_postmaster_start_time() + make_interval(secs => p_lease_seconds))
    INTO gone, ends, blamed FROM buried b;
    -- A statement of its own: it must see what a worker wrote while the deletion of its lease waited for that write.
    WITH given_back AS (
        UPDATE executions e SET
            status = 'QUEUED', worker_id = NULL, queued_at = now(),
            deaths = e.deaths + CASE WHEN e.worker_id = ANY (blamed) THEN 1 ELSE 0 END,
            -- The time from the end of a lease until somebody looked is nobody's.
            active_since = e.active_since + coalesce((
                SELECT greatest(interval '0', clock_timestamp() - b.ends_at)
                FROM unnest(gone, ends) AS b(id, ends_at) WHERE b.id = e.worker_id AND isfinite(b.ends_at)
            ), interval '0')
        WHERE e.worker_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = e.worker_id)
        RETURNING e.id, e.deaths
    )
    SELECT count(*), array_agg(g.id) FILTER (WHERE g.deaths >= p_most_deaths) INTO freed, hopeless FROM given_back g;
    IF hopeless IS NOT NULL THEN
        FOREACH each IN ARRAY hopeless LOOP
            PERFORM executions_end_v1(each, p_reason);
        END LOOP;
    END IF;
    RETURN freed;
END $$;

CREATE FUNCTION workers_leave_v1(p_worker uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- A worker that goes by itself gives back what it has.
    DELETE FROM workers WHERE id = p_worker;
    UPDATE executions SET status = 'QUEUED', worker_id = NULL, queued_at = now() WHERE worker_id = p_worker;
END $$;
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    moves = " OR ".join(
        f"(OLD.status = '{source}' AND NEW.status IN ({', '.join(repr(str(each)) for each in sorted(targets))}))"
        for source, targets in MOVES.items()
        if source not in FINAL
    )
    counted = ", ".join(repr(str(each)) for each in sorted(COUNTED))
    op.execute(STATUS_GUARD % {"moves": moves, "counted": counted})
    op.execute(ROOM)
    op.execute(JOURNAL_WRITE)
    op.execute(CLAIM)
    op.execute(DEATHS)
