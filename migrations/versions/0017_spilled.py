"""Long lines in front of nodes are kept in the database; snapshots say in which format they are.

A run that has a snapshot of the newer format is of that format itself from then on: older workers leave it alone.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE spilled (
    execution_id uuid NOT NULL,
    key bigint NOT NULL,
    root_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (execution_id, key)
);
COMMENT ON TABLE spilled IS
    'Values that wait in front of nodes, while they are not needed soon. All of them stand in the journal too.';
CREATE INDEX spilled_root ON spilled (root_id);

ALTER TABLE spilled ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON spilled TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON spilled TO treadle_engine;

ALTER TABLE snapshots ADD COLUMN format smallint NOT NULL DEFAULT 2;
"""

SAVE = """
CREATE FUNCTION snapshots_save_v1(
    p_worker uuid, p_root uuid, p_epoch integer, p_execution uuid, p_seq bigint, p_format smallint, p_body bytea,
    p_newest bigint, p_needed bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    known smallint;
    workspace uuid;
BEGIN
    -- The snapshot replaces older ones, and with them goes what only they needed. A worker that has lost the root may
    -- not do that: whoever has it now may have begun with an older snapshot.
    PERFORM 1 FROM workers WHERE id = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT format, workspace_id INTO known, workspace FROM executions
    WHERE id = p_root AND worker_id = p_worker AND epoch = p_epoch;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO snapshots (execution_id, root_id, workspace_id, seq, format, body)
    VALUES (p_execution, p_root, workspace, p_seq, p_format, p_body)
    ON CONFLICT DO NOTHING;
    DELETE FROM snapshots WHERE execution_id = p_execution AND seq < p_seq;
    DELETE FROM spilled WHERE execution_id = p_execution AND key <= p_newest AND key <> ALL (p_needed);
    IF known < p_format THEN
        UPDATE executions SET format = p_format WHERE id = p_root;
    END IF;
    RETURN true;
END $$;
"""

DELETION = """
CREATE OR REPLACE FUNCTION executions_delete_v1(p_execution uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
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
    DELETE FROM spilled WHERE root_id = root.id;
    DELETE FROM reviews WHERE root_id = root.id;
    DELETE FROM inbox WHERE root_id = root.id;
    DELETE FROM executions WHERE root_id = root.id AND parent_id IS NOT NULL;
    DELETE FROM executions WHERE id = root.id;
    RETURN 'deleted';
END $$;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(SAVE)
    op.execute(DELETION)
