"""What people ask of executions: lists by agent and status, keys with what was asked, shares, deletion.

A run that begins and ends within one write of the journal has its row written once, in its final form.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

EXECUTIONS = """
ALTER TABLE executions ADD COLUMN request_digest bytea;
COMMENT ON COLUMN executions.request_digest IS
    'Of what was asked for with the idempotency key, so that another request with the same key is noticed.';
CREATE INDEX executions_of_graph ON executions (workspace_id, graph_id, id DESC) WHERE parent_id IS NULL;
-- Completed runs are most of all runs: a list of them needs no index, and their writes should not pay for one.
CREATE INDEX executions_unusual ON executions (workspace_id, status, id DESC)
    WHERE parent_id IS NULL AND status <> 'COMPLETED';
"""

CREATE = """
CREATE FUNCTION executions_create_v2(p_worker uuid, p_created jsonb, p_held uuid[]) RETURNS uuid[] LANGUAGE sql AS $$
    -- New roots, or (with p_held) descendants of those roots. One that exists already changes nothing. A root that is
    -- over already has its row written in its final form; the ids of those are returned.
    WITH made AS (
        INSERT INTO executions (id, root_id, parent_id, parent_firing, parent_slot, workspace_id, graph_id,
            graph_version, plan_digest, status, format, worker_id, epoch, idempotency_key, request_digest, settings,
            inputs, outputs, warnings, failures, nodes, error, firings, failed, cost, last_seq, started_at, ended_at,
            rerun_of)
        SELECT c.id, c.root_id, c.parent_id, c.parent_firing, c.parent_slot, c.workspace_id, c.graph_id,
            c.graph_version, decode(c.plan_digest, 'hex'), coalesce(c.status, 'RUNNING'), c.format,
            CASE WHEN c.parent_id IS NULL AND c.status IS NULL THEN p_worker END, c.epoch, c.idempotency_key,
            decode(c.request_digest, 'hex'), c.settings, c.inputs, coalesce(c.outputs, '[]'),
            coalesce(c.warnings, '[]'), coalesce(c.failures, '[]'), coalesce(c.nodes, '{}'), c.error,
            coalesce(c.firings, 0), coalesce(c.failed, 0), coalesce(c.cost, 0), coalesce(c.last_seq, 0), now(),
            CASE WHEN c.status IS NOT NULL THEN now() END, c.rerun_of
        FROM jsonb_to_recordset(p_created) AS c(id uuid, root_id uuid, parent_id uuid, parent_firing integer,
            parent_slot integer, workspace_id uuid, graph_id text, graph_version integer, plan_digest text,
            status execution_status, format smallint, epoch integer, idempotency_key text, request_digest text,
            settings jsonb, inputs jsonb, outputs jsonb, warnings jsonb, failures jsonb, nodes jsonb, error text,
            firings integer, failed integer, cost bigint, last_seq bigint, rerun_of uuid)
        WHERE (p_held IS NULL OR c.root_id = ANY (p_held))
            AND (c.status IS NULL OR c.status IN ('COMPLETED', 'FAILED', 'TERMINATED'))
        ON CONFLICT DO NOTHING
        RETURNING id, status
    )
    SELECT coalesce(array_agg(id) FILTER (WHERE status <> 'RUNNING'), '{}') FROM made;
$$;
"""

WRITE = """
CREATE FUNCTION journal_write_v3(
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
    made uuid[] := '{}';  -- roots that begin and end within this write: no worker holds them
    everyone boolean;  -- all of them: then no row needs to be looked for in held
BEGIN
    -- Whoever takes this worker over deletes its row, and waits for this lock: no write of a lost lease can follow.
    PERFORM 1 FROM workers WHERE id = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN '{}';
    END IF;
    IF p_created IS NOT NULL THEN
        -- One that is over a limit is not made, so it is not held: its worker queues it instead.
        made := executions_create_v2(p_worker, executions_admit_v1(p_created, p_per_workspace, p_per_agent), NULL);
    END IF;
    SELECT made || coalesce(array_agg(e.id), '{}') INTO held
    FROM unnest(p_owners, p_owner_epochs) AS b(root, epoch)
    -- OFFSET 0 keeps this a look-up by id for each owner: a join with all that the worker holds is quadratic.
    CROSS JOIN LATERAL (SELECT x.id, x.worker_id, x.epoch FROM executions x WHERE x.id = b.root OFFSET 0) AS e
    WHERE e.worker_id = p_worker AND e.epoch = b.epoch;
    everyone := cardinality(held) = cardinality(p_owners);
    IF p_children IS NOT NULL THEN
        PERFORM executions_create_v2(p_worker, p_children, held);
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
        FROM jsonb_to_recordset(p_changed) AS c(id uuid, status text)
        WHERE e.id = c.id AND c.status IN ('WAITING', 'REVIEW') AND e.parent_id IS NULL
            AND e.id = ANY (held) AND e.status IN ('WAITING', 'REVIEW')
            AND EXISTS (SELECT 1 FROM inbox i WHERE i.root_id = e.id AND i.folded_at IS NULL);
    END IF;
    RETURN held;
END $$;
"""

SHARES = """
CREATE TABLE execution_shares (
    execution_id uuid PRIMARY KEY REFERENCES executions ON DELETE CASCADE,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    token_digest bytea NOT NULL UNIQUE CHECK (octet_length(token_digest) = 32),
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE execution_shares ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON execution_shares TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON execution_shares TO treadle_api;
GRANT SELECT, DELETE ON execution_shares TO treadle_engine;

CREATE FUNCTION execution_shared_v1(p_token_digest bytea) RETURNS TABLE (workspace_id uuid, execution_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    -- Whoever has the link is nobody in particular: this is all that can be seen without a workspace.
    SELECT s.workspace_id, s.execution_id FROM execution_shares s WHERE s.token_digest = p_token_digest;
$$;
REVOKE ALL ON FUNCTION execution_shared_v1(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION execution_shared_v1(bytea) TO treadle_api;
"""

DELETION = """
CREATE INDEX snapshots_root ON snapshots (root_id);
CREATE INDEX reviews_root ON reviews (root_id);
CREATE FUNCTION executions_delete_v1(p_execution uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    here uuid := nullif(current_setting('treadle.workspace_id', true), '')::uuid;
    root executions;
BEGIN
    -- People may remove a whole run that is over, of their workspace; the role that serves them may remove no record.
    SELECT * INTO root FROM executions WHERE id = p_execution AND workspace_id = here FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    ELSIF root.parent_id IS NOT NULL THEN
        RETURN 'part';
    ELSIF root.status NOT IN ('COMPLETED', 'FAILED', 'TERMINATED') THEN
        RETURN 'open';
    END IF;
    DELETE FROM journal WHERE root_id = root.id;
    DELETE FROM snapshots WHERE root_id = root.id;
    DELETE FROM reviews WHERE root_id = root.id;
    DELETE FROM inbox WHERE root_id = root.id;
    DELETE FROM executions WHERE root_id = root.id AND parent_id IS NOT NULL;
    DELETE FROM executions WHERE id = root.id;
    RETURN 'deleted';
END $$;
REVOKE ALL ON FUNCTION executions_delete_v1(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION executions_delete_v1(uuid) TO treadle_api;
"""


def upgrade() -> None:
    op.execute(EXECUTIONS)
    op.execute(CREATE)
    op.execute(WRITE)
    op.execute(SHARES)
    op.execute(DELETION)
