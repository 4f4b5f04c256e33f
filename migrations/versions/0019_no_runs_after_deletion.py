"""No run begins in a workspace that was deleted, and whatever runs there is stopped by the deletion itself.

Keys that nobody can use any more may be removed.

``executions_admit_v1`` and ``inbox_tidy_v1`` keep their meaning for workers of the release before.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

HOLD = """
CREATE FUNCTION workspaces_slot(p_workspace uuid) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    -- Workspaces share a few locks, so that a write for very many of them cannot use up the server's locks.
    SELECT hashtext(p_workspace::text) & 255;
$$;

CREATE FUNCTION executions_need_workspace() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Nobody deletes the workspace from now on until this transaction ends.
    PERFORM pg_advisory_xact_lock_shared(1953653101, workspaces_slot(NEW.workspace_id));
    -- A statement of its own: it must see a deletion that the lock has waited for.
    IF EXISTS (SELECT FROM workspaces w WHERE w.id = NEW.workspace_id AND w.deleted_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the workspace % was deleted', NEW.workspace_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'executions_need_workspace';
    END IF;
    RETURN NULL;
END $$;
-- Of what is queued. What a worker begins by itself has passed executions_admit_v1, which asks once for all new runs of
-- a workspace; sub-agents belong to runs that were let in, and are stopped with them.
CREATE TRIGGER executions_need_workspace AFTER INSERT ON executions
    FOR EACH ROW WHEN (NEW.status = 'QUEUED' AND NEW.parent_id IS NULL) EXECUTE FUNCTION executions_need_workspace();
"""

ADMIT = """
CREATE OR REPLACE FUNCTION executions_admit_v1(p_created jsonb, p_per_workspace integer, p_per_agent integer)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    owners uuid[];
    agents text[];
    counts integer[];
    each uuid;
    closed uuid[];  -- workspaces in which nothing may begin
    agent record;
    free integer;
    current uuid;
    taken integer;  -- of the current workspace, by agents before this one
    places jsonb := '{}';  -- for agents that have not enough: how many
BEGIN
    -- Those of the new roots that may begin now. None of a workspace that was deleted, or is being deleted: no write
    -- of the journal waits for that, and whoever queues the run instead is told. Nobody deletes the others before this
    -- transaction ends.
    SELECT coalesce(array_agg(g.workspace_id), '{}'), array_agg(g.graph_id), array_agg(g.wanted)
    INTO owners, agents, counts
    FROM (
        SELECT c.workspace_id, c.graph_id, count(*)::integer AS wanted
        FROM jsonb_to_recordset(p_created) AS c(workspace_id uuid, graph_id text) GROUP BY 1, 2 ORDER BY 1, 2
    ) AS g;
    FOREACH each IN ARRAY owners LOOP
        IF NOT pg_try_advisory_xact_lock_shared(1953653101, workspaces_slot(each)) THEN
            closed := closed || each;
        END IF;
    END LOOP;
    -- A statement of its own, which sees what the locks have not prevented; the brackets let it be planned once, and
    -- not for every number of workspaces.
    closed := closed || ARRAY(
        SELECT w.id FROM workspaces w WHERE w.id = ANY ((SELECT owners)::uuid[]) AND w.deleted_at IS NOT NULL);
    FOR agent IN SELECT u.* FROM unnest(owners, agents, counts) AS u(workspace_id, graph_id, wanted) LOOP
        IF agent.workspace_id IS DISTINCT FROM current THEN
            current := agent.workspace_id;
            taken := 0;
        END IF;
        IF current = ANY (closed) THEN
            free := 0;
        ELSE
            free := executions_room_v1(
                agent.workspace_id, agent.graph_id, agent.wanted, p_per_workspace - taken, p_per_agent);
        END IF;
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

STOP = """
CREATE FUNCTION executions_stop_all_v1(p_workspace uuid, p_reason text) RETURNS void LANGUAGE sql AS $$
    -- Tells everything that runs or waits there to stop. It locks no run, so that no write of the journal waits;
    -- inbox_tidy_v1 wakes those that sleep.
    INSERT INTO inbox (root_id, execution_id, workspace_id, kind, payload, idempotency_key)
    SELECT e.id, e.id, p_workspace, 'stop', jsonb_build_object('reason', p_reason), 'stop'
    FROM executions e
    WHERE e.workspace_id = p_workspace AND e.parent_id IS NULL
        AND e.status NOT IN ('COMPLETED', 'FAILED', 'TERMINATED')
    ON CONFLICT DO NOTHING;
$$;

CREATE FUNCTION workspaces_stop() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Waits for those who add runs at this moment, so that these are stopped too; whoever comes later is refused.
    PERFORM pg_advisory_xact_lock(1953653101, workspaces_slot(NEW.id));
    PERFORM executions_stop_all_v1(NEW.id, 'the workspace was deleted');
    PERFORM pg_notify('treadle_bell', topic) FROM unnest(ARRAY['queue', NEW.id::text]) AS topic;
    RETURN NULL;
END $$;
CREATE TRIGGER workspaces_stop AFTER UPDATE OF deleted_at ON workspaces FOR EACH ROW
    WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION workspaces_stop();

CREATE OR REPLACE FUNCTION inbox_tidy_v1() RETURNS void LANGUAGE sql AS $$
    -- Stops that came when the run was ending: nobody will fold them.
    UPDATE inbox i SET folded_at = now() FROM executions e
    WHERE i.kind = 'stop' AND i.folded_at IS NULL AND e.id = i.root_id
        AND e.status IN ('COMPLETED', 'FAILED', 'TERMINATED');
    -- Stops that nobody has woken the run for, or that came when it was falling asleep.
    UPDATE executions e SET status = 'QUEUED', queued_at = now(), wake_at = NULL
    FROM (
        SELECT x.id FROM inbox i JOIN executions x ON x.id = i.root_id
        WHERE i.kind = 'stop' AND i.folded_at IS NULL AND x.status IN ('WAITING', 'REVIEW')
        FOR NO KEY UPDATE OF x SKIP LOCKED
    ) AS asleep
    WHERE e.id = asleep.id;
$$;
"""

DELETED_BEFORE = """
SELECT executions_stop_all_v1(id, 'the workspace was deleted') FROM workspaces
WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
"""


KEYS = "GRANT DELETE ON api_keys, signing_keys TO treadle_auth"


def upgrade() -> None:
    op.execute(HOLD)
    op.execute(ADMIT)
    op.execute(STOP)
    op.execute(DELETED_BEFORE)
    op.execute(KEYS)
