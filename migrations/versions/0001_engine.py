"""Graphs, plans, executions, their journal, workers and the inbox.

Every state change of the engine goes through the functions made here; their names carry a version, so that workers of
the previous release go on working while a new one is deployed.
"""

from alembic import op

from treadle.kernel.states import FINAL, MOVES

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE workspaces (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE graphs (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    id text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    name text NOT NULL,
    document jsonb NOT NULL,
    blocks jsonb NOT NULL DEFAULT '{}',
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id, version)
);

CREATE TABLE plans (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    digest bytea NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, digest)
);

CREATE TABLE workers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE workers IS
    'One lease for each worker. Its row is locked for key share by every journal write, and deleted to take it over.';

CREATE TYPE execution_status AS ENUM
    ('QUEUED', 'RUNNING', 'WAITING', 'REVIEW', 'COMPLETED', 'FAILED', 'TERMINATED');

CREATE TABLE executions (
    id uuid PRIMARY KEY,
    root_id uuid NOT NULL,
    parent_id uuid,
    parent_firing integer,
    parent_slot integer,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    graph_id text NOT NULL,
    graph_version integer NOT NULL,
    plan_digest bytea NOT NULL,
    status execution_status NOT NULL,
    format smallint NOT NULL,
    worker_id uuid,
    epoch integer NOT NULL DEFAULT 0,
    idempotency_key text,
    settings jsonb NOT NULL DEFAULT '{}',
    inputs jsonb NOT NULL DEFAULT '{}',
    outputs jsonb NOT NULL DEFAULT '[]',
    warnings jsonb NOT NULL DEFAULT '[]',
    failures jsonb NOT NULL DEFAULT '[]',
    nodes jsonb NOT NULL DEFAULT '{}',
    error text,
    firings integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    cost bigint NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    rerun_of uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    wake_at timestamptz,
    CHECK ((parent_id IS NULL) = (id = root_id)),
    CHECK (worker_id IS NULL OR status = 'RUNNING'),
    CHECK (parent_id IS NULL OR worker_id IS NULL)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX executions_idempotency ON executions (workspace_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX executions_slot ON executions (parent_id, parent_firing, parent_slot) WHERE parent_id IS NOT NULL;
CREATE INDEX executions_queued ON executions (workspace_id, queued_at) WHERE status = 'QUEUED' AND parent_id IS NULL;
CREATE INDEX executions_due ON executions (wake_at) WHERE status IN ('WAITING', 'REVIEW') AND parent_id IS NULL;
CREATE INDEX executions_held ON executions (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX executions_root ON executions (root_id) WHERE parent_id IS NOT NULL;
CREATE INDEX executions_listed ON executions (workspace_id, id DESC) WHERE parent_id IS NULL;

CREATE TABLE journal (
    root_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    seq bigint NOT NULL,
    count integer NOT NULL CHECK (count > 0),
    epoch integer NOT NULL,
    workspace_id uuid NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (root_id, execution_id, seq)
) PARTITION BY RANGE (root_id);
COMMENT ON TABLE journal IS
    'The truth: what happened in each execution. A row carries the records seq .. seq + count - 1 as a JSON array.';
CREATE TABLE journal_default PARTITION OF journal DEFAULT;

CREATE TABLE snapshots (
    execution_id uuid NOT NULL,
    root_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    seq bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (execution_id, seq)
);

CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    root_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('stop', 'decision', 'event')),
    firing integer,
    payload jsonb NOT NULL DEFAULT '{}',
    idempotency_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    folded_at timestamptz,
    UNIQUE (root_id, idempotency_key)
);
CREATE INDEX inbox_open ON inbox (root_id) WHERE folded_at IS NULL;

CREATE TABLE reviews (
    execution_id uuid NOT NULL,
    firing integer NOT NULL,
    root_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    node_id text NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL DEFAULT 'WAITING' CHECK (status IN ('WAITING', 'APPROVED', 'REJECTED')),
    decision jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    PRIMARY KEY (execution_id, firing)
);
CREATE INDEX reviews_open ON reviews (workspace_id, created_at) WHERE status = 'WAITING';

CREATE TABLE charges (
    execution_id uuid NOT NULL,
    firing integer NOT NULL,
    attempt integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('hold', 'settle')),
    workspace_id uuid NOT NULL,
    amount bigint NOT NULL CHECK (amount >= 0),
    written_off bigint NOT NULL DEFAULT 0 CHECK (written_off >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (execution_id, firing, attempt, kind)
);

CREATE TABLE stored_values (
    workspace_id uuid NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, key)
);
"""

STATUS_GUARD = """
CREATE FUNCTION executions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status IS DISTINCT FROM OLD.status AND NOT (%s) THEN
        RAISE EXCEPTION 'execution %% cannot go from %% to %%', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER executions_guard BEFORE UPDATE OF status ON executions
    FOR EACH ROW EXECUTE FUNCTION executions_guard();
"""

JOURNAL_WRITE = """
CREATE FUNCTION executions_create_v1(p_worker uuid, p_created jsonb, p_held uuid[]) RETURNS void LANGUAGE sql AS $$
    -- New roots, or (with p_held) descendants of those roots. One that exists already changes nothing.
    INSERT INTO executions (id, root_id, parent_id, parent_firing, parent_slot, workspace_id, graph_id,
        graph_version, plan_digest, status, format, worker_id, epoch, idempotency_key, settings, inputs,
        started_at, rerun_of)
    SELECT c.id, c.root_id, c.parent_id, c.parent_firing, c.parent_slot, c.workspace_id, c.graph_id,
        c.graph_version, decode(c.plan_digest, 'hex'), 'RUNNING', c.format,
        CASE WHEN c.parent_id IS NULL THEN p_worker END, c.epoch, c.idempotency_key, c.settings, c.inputs,
        now(), c.rerun_of
    FROM jsonb_to_recordset(p_created) AS c(id uuid, root_id uuid, parent_id uuid, parent_firing integer,
        parent_slot integer, workspace_id uuid, graph_id text, graph_version integer, plan_digest text,
        format smallint, epoch integer, idempotency_key text, settings jsonb, inputs jsonb, rerun_of uuid)
    WHERE p_held IS NULL OR c.root_id = ANY (p_held)
    ON CONFLICT DO NOTHING;
$$;

CREATE FUNCTION journal_write_v1(
    p_worker uuid,
    p_owners uuid[], p_owner_epochs integer[],
    p_created jsonb, p_children jsonb,
    p_roots uuid[], p_executions uuid[], p_workspaces uuid[], p_epochs integer[],
    p_seqs bigint[], p_counts integer[], p_bodies bytea[],
    p_changed jsonb,
    p_folded bigint[],
    p_reviews jsonb,
    p_charges jsonb
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
        PERFORM executions_create_v1(p_worker, p_created, NULL);
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
CREATE FUNCTION executions_claim_v1(p_worker uuid, p_limit integer, p_per_workspace integer, p_format smallint)
RETURNS SETOF executions LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM workers WHERE id = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH RECURSIVE people AS (
        (SELECT workspace_id FROM executions WHERE status = 'QUEUED' AND parent_id IS NULL
         ORDER BY workspace_id LIMIT 1)
        UNION ALL
        SELECT (SELECT e.workspace_id FROM executions e
                WHERE e.status = 'QUEUED' AND e.parent_id IS NULL AND e.workspace_id > people.workspace_id
                ORDER BY e.workspace_id LIMIT 1)
        FROM people WHERE people.workspace_id IS NOT NULL
    ), room AS (
        SELECT p.workspace_id, p_per_workspace - (
            SELECT count(*) FROM executions r
            WHERE r.workspace_id = p.workspace_id AND r.worker_id IS NOT NULL
        ) AS free
        FROM people p WHERE p.workspace_id IS NOT NULL
    ), turns AS (
        -- Fair between people: everybody's first run comes before anybody's second.
        SELECT q.id, row_number() OVER (PARTITION BY room.workspace_id ORDER BY q.queued_at) AS turn, q.queued_at
        FROM room CROSS JOIN LATERAL (
            SELECT e.id, e.queued_at FROM executions e
            WHERE e.workspace_id = room.workspace_id AND e.status = 'QUEUED' AND e.parent_id IS NULL
                AND e.format <= p_format
            ORDER BY e.queued_at LIMIT least(p_limit, greatest(room.free, 0))
        ) q
    ), chosen AS (
        SELECT e.id FROM executions e
        JOIN (SELECT id FROM turns ORDER BY turn, queued_at LIMIT p_limit) t ON t.id = e.id
        WHERE e.status = 'QUEUED'
        FOR UPDATE OF e SKIP LOCKED
    )
    UPDATE executions e SET
        status = 'RUNNING', worker_id = p_worker, epoch = e.epoch + 1,
        started_at = coalesce(e.started_at, now()), wake_at = NULL
    FROM chosen WHERE e.id = chosen.id
    RETURNING e.*;
END $$;

CREATE FUNCTION executions_resume_v1(p_roots uuid[], p_epochs integer[]) RETURNS void LANGUAGE sql AS $$
    -- Descendants have no queue slot of their own: they pass through QUEUED with their root.
    UPDATE executions c SET status = 'QUEUED', wake_at = NULL
    FROM unnest(p_roots, p_epochs) AS k(root, epoch)
    JOIN executions r ON r.id = k.root AND r.epoch = k.epoch AND r.status = 'RUNNING'
    WHERE c.root_id = k.root AND c.parent_id IS NOT NULL AND c.status IN ('WAITING', 'REVIEW');
    UPDATE executions c SET status = 'RUNNING'
    FROM unnest(p_roots, p_epochs) AS k(root, epoch)
    JOIN executions r ON r.id = k.root AND r.epoch = k.epoch AND r.status = 'RUNNING'
    WHERE c.root_id = k.root AND c.parent_id IS NOT NULL AND c.status = 'QUEUED';
$$;

CREATE FUNCTION executions_wake_v1() RETURNS integer LANGUAGE sql AS $$
    WITH due AS (
        SELECT id FROM executions
        WHERE status IN ('WAITING', 'REVIEW') AND parent_id IS NULL AND wake_at <= clock_timestamp()
        ORDER BY wake_at LIMIT 1000 FOR UPDATE SKIP LOCKED
    ), woken AS (
        UPDATE executions e SET status = 'QUEUED', queued_at = now(), wake_at = NULL FROM due WHERE e.id = due.id
        RETURNING 1
    )
    SELECT count(*)::integer FROM woken;
$$;

CREATE FUNCTION workers_bury_v1() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    freed integer;
BEGIN
    DELETE FROM workers WHERE expires_at < clock_timestamp();
    -- A statement of its own: it must see what a worker wrote while the deletion of its lease waited for that write.
    UPDATE executions e SET status = 'QUEUED', worker_id = NULL, queued_at = now()
    WHERE e.worker_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = e.worker_id);
    GET DIAGNOSTICS freed = ROW_COUNT;
    RETURN freed;
END $$;

CREATE FUNCTION executions_give_up_v1(p_worker uuid, p_root uuid, p_epoch integer, p_reason text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    each executions;
    at bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    last bigint;
BEGIN
    -- What cannot be written or read back would fail in every worker: the run ends here, and says why.
    PERFORM 1 FROM workers WHERE id = p_worker FOR KEY SHARE;
    PERFORM 1 FROM executions WHERE id = p_root AND worker_id = p_worker AND epoch = p_epoch FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOR each IN SELECT * FROM executions WHERE id = p_root OR (root_id = p_root AND parent_id IS NOT NULL) LOOP
        CONTINUE WHEN each.status IN ('COMPLETED', 'FAILED', 'TERMINATED');
        SELECT coalesce(max(j.seq + j.count - 1), 0) INTO last
        FROM journal j WHERE j.root_id = p_root AND j.execution_id = each.id;
        INSERT INTO journal (root_id, execution_id, seq, count, epoch, workspace_id, body)
        VALUES (p_root, each.id, last + 1, 2, p_epoch, each.workspace_id, convert_to(
            jsonb_build_array(
                jsonb_build_array('stop', p_reason, at), jsonb_build_array('close', 'FAILED', at, p_reason)
            )::text, 'UTF8'));
        UPDATE executions SET status = 'FAILED', error = p_reason, worker_id = NULL, wake_at = NULL,
            last_seq = last + 2, ended_at = now() WHERE id = each.id;
    END LOOP;
    RETURN true;
END $$;
"""

INBOX = """
CREATE FUNCTION inbox_add_v1(
    p_workspace uuid, p_execution uuid, p_kind text, p_firing integer, p_payload jsonb, p_key text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    target executions;
    root executions;
BEGIN
    SELECT * INTO target FROM executions WHERE id = p_execution AND workspace_id = p_workspace;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- The root's row is locked first, here and by every journal write that puts a run to sleep.
    SELECT * INTO root FROM executions WHERE id = target.root_id FOR NO KEY UPDATE;
    IF root.status IN ('COMPLETED', 'FAILED', 'TERMINATED') THEN
        RETURN false;
    END IF;
    INSERT INTO inbox (root_id, execution_id, workspace_id, kind, firing, payload, idempotency_key)
    VALUES (root.id, p_execution, p_workspace, p_kind, p_firing, p_payload, p_key)
    ON CONFLICT (root_id, idempotency_key) DO NOTHING;
    IF p_kind = 'decision' THEN
        UPDATE reviews SET status = CASE WHEN coalesce(p_payload -> 'approved', 'true') = 'true' THEN 'APPROVED'
            ELSE 'REJECTED' END, decision = p_payload, decided_at = now()
        WHERE execution_id = p_execution AND firing = p_firing AND status = 'WAITING';
    END IF;
    IF root.status IN ('WAITING', 'REVIEW') THEN
        UPDATE executions SET status = 'QUEUED', queued_at = now(), wake_at = NULL WHERE id = root.id;
    END IF;
    RETURN true;
END $$;
"""

ACCESS = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON {table} TO treadle_api
    USING ({column} = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK ({column} = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
"""

PEOPLES_TABLES = [
    "graphs",
    "plans",
    "executions",
    "journal",
    "snapshots",
    "inbox",
    "reviews",
    "charges",
    "stored_values",
]


def upgrade() -> None:
    op.execute(TABLES)
    moves = " OR ".join(
        f"(OLD.status = '{source}' AND NEW.status IN ({', '.join(repr(str(each)) for each in sorted(targets))}))"
        for source, targets in MOVES.items()
        if source not in FINAL
    )
    op.execute(STATUS_GUARD % moves)
    op.execute(JOURNAL_WRITE)
    op.execute(CLAIM)
    op.execute(INBOX)
    for table in PEOPLES_TABLES:
        op.execute(ACCESS.format(table=table, column="workspace_id"))
    op.execute(ACCESS.format(table="workspaces", column="id"))
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO treadle_engine")
    op.execute("GRANT SELECT ON executions, journal, reviews, charges, plans TO treadle_api")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON graphs, stored_values TO treadle_api")
    op.execute("GRANT SELECT ON workspaces TO treadle_api")
    op.execute("INSERT INTO workspaces (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'Local workspace')")
