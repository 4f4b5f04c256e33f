"""Runs that several workers in a row have died with are claimed before all others, and pause after further deaths.

``executions_next_v1`` keeps its meaning for workers of the release before: they claim again until nothing is left.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

NEXT = """
CREATE OR REPLACE FUNCTION executions_next_v1(
    p_limit integer, p_per_workspace integer, p_per_agent integer, p_company integer[], p_format smallint
) RETURNS TABLE (id uuid, workspace_id uuid, near boolean, turn bigint, queued_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- Whose turn it is. A line is what is queued of one agent, apart for each number of deaths; lines are found by
    -- skipping through the index, however long they are. Those that most workers have died with come by themselves,
    -- before all others: from two deaths on (company.py says why).
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
    ), welcome AS (
        SELECT f.*, coalesce(max(f.deaths) FILTER (WHERE f.deaths >= 2) OVER (), 0) AS most_deaths
        FROM fit f WHERE f.in_company <= f.company
    )
    SELECT f.id, f.workspace_id,
        (p_per_agent - f.free + p_limit > p_per_agent / 16
            OR p_per_workspace - f.workspace_free + p_limit > p_per_workspace / 16),
        f.in_workspace, f.queued_at
    FROM welcome f WHERE f.deaths >= f.most_deaths
    ORDER BY f.in_workspace, f.queued_at, f.id LIMIT p_limit;
END $$;
"""

BURY = """
CREATE FUNCTION workers_bury_v3(
    p_worker uuid, p_dead uuid[], p_lease_seconds double precision, p_most_deaths integer,
    p_pauses double precision[], p_reason text
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[];
    ends timestamptz[];
    blamed uuid[];  -- those of the gone that died, and did not only lose a database that was away
    freed integer;
    hopeless uuid[];
    each uuid;
BEGIN
    -- Takes over what dead workers had: those that are known to be dead, and those whose lease has run out. A run with
    -- its nth death in a row pauses for p_pauses[n] seconds, unless somebody has something to tell it.
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
    WITH orphans AS (
        SELECT e.id, e.worker_id, e.deaths + (e.worker_id = ANY (coalesce(blamed, '{}')))::integer AS deaths,
            CASE WHEN e.worker_id = ANY (blamed)
                AND NOT EXISTS (SELECT FROM inbox i WHERE i.root_id = e.id AND i.folded_at IS NULL)
                THEN p_pauses[e.deaths + 1] END AS pause,
            -- The time from the end of a lease until somebody looked is nobody's.
            coalesce((
                SELECT greatest(interval '0', clock_timestamp() - b.ends_at)
                FROM unnest(gone, ends) AS b(id, ends_at) WHERE b.id = e.worker_id AND isfinite(b.ends_at)
            ), interval '0') AS unwatched
        FROM executions e
        WHERE e.worker_id IS NOT NULL AND NOT EXISTS (SELECT FROM workers w WHERE w.id = e.worker_id)
    ), given_back AS (
        UPDATE executions e SET
            status = CASE WHEN o.pause > 0 THEN 'WAITING'::execution_status ELSE 'QUEUED' END,
            wake_at = CASE WHEN o.pause > 0 THEN clock_timestamp() + make_interval(secs => o.pause) END,
            worker_id = NULL, queued_at = now(), deaths = o.deaths, active_since = e.active_since + o.unwatched
        FROM orphans o WHERE e.id = o.id AND e.worker_id = o.worker_id
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
"""


def upgrade() -> None:
    op.execute(NEXT)
    op.execute(BURY)
