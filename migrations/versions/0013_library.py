"""The library: an entry for each graph, folders, favourites, saved inputs, and how each agent's runs have gone.

Entries are made and kept up by a trigger on ``graph_heads``, so that no way of saving a graph can leave it out. How
runs have gone is written in the commit in which they end, by a trigger on ``executions``: see
docs/decisions/library.md.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

FOLDERS = """
CREATE TABLE library_folders (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    parent_id uuid,
    name text NOT NULL CHECK (name <> '' AND length(name) <= 100),
    icon text NOT NULL DEFAULT '' CHECK (length(icon) <= 50),
    color text NOT NULL DEFAULT '' CHECK (color ~ '^(#[0-9a-f]{6})?$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, id),
    FOREIGN KEY (workspace_id, parent_id) REFERENCES library_folders (workspace_id, id)
);
CREATE UNIQUE INDEX library_folders_named ON library_folders (workspace_id, parent_id, lower(name)) NULLS NOT DISTINCT;

CREATE FUNCTION library_folders_lock(p_workspace uuid) RETURNS void LANGUAGE sql AS $$
    -- Whoever changes the tree of a workspace does so one after the other.
    SELECT pg_advisory_xact_lock(hashtextextended('library_folders:' || p_workspace, 0));
$$;

CREATE FUNCTION library_folders_hold(p_workspace uuid) RETURNS void LANGUAGE sql AS $$
    -- Whoever puts something into a folder keeps the tree as it is until they are done.
    SELECT pg_advisory_xact_lock_shared(hashtextextended('library_folders:' || p_workspace, 0));
$$;

CREATE FUNCTION library_folders_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    above integer;
    below integer;
    round boolean;
BEGIN
    PERFORM library_folders_lock(NEW.workspace_id);
    WITH RECURSIVE up AS (
        SELECT f.id, f.parent_id, 1 AS depth FROM library_folders f
        WHERE f.workspace_id = NEW.workspace_id AND f.id = NEW.parent_id
        UNION ALL
        SELECT f.id, f.parent_id, up.depth + 1 FROM up
        JOIN library_folders f ON f.workspace_id = NEW.workspace_id AND f.id = up.parent_id
        WHERE up.id <> NEW.id
    )
    SELECT coalesce(max(depth), 0), coalesce(bool_or(id = NEW.id), NEW.parent_id = NEW.id, false) INTO above, round
    FROM up;
    IF round THEN
        RAISE EXCEPTION 'folder % would be inside itself', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'library_folders_no_cycle';
    END IF;
    WITH RECURSIVE down AS (
        SELECT NEW.id AS id, 1 AS depth
        UNION ALL
        SELECT f.id, down.depth + 1 FROM down
        JOIN library_folders f ON f.workspace_id = NEW.workspace_id AND f.parent_id = down.id
    )
    SELECT max(depth) INTO below FROM down;
    IF above + below > 10 THEN
        RAISE EXCEPTION 'folder % would be too deep', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'library_folders_depth';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER library_folders_guard BEFORE INSERT OR UPDATE OF parent_id, workspace_id ON library_folders
    FOR EACH ROW EXECUTE FUNCTION library_folders_guard();
"""

AGENTS = """
CREATE TABLE library_agents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces,
    graph_id text NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    newest_version integer NOT NULL,
    active_version integer NOT NULL,
    pinned_version integer,
    version integer NOT NULL GENERATED ALWAYS AS (coalesce(pinned_version, active_version)) STORED,
    is_part boolean NOT NULL DEFAULT false,
    is_archived boolean NOT NULL DEFAULT false,
    folder_id uuid,
    settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    needs jsonb,
    needs_of text NOT NULL DEFAULT '',
    run_id uuid,
    run_status text CHECK (run_status IN ('COMPLETED', 'FAILED', 'TERMINATED')),
    run_started_at timestamptz,
    run_ended_at timestamptz,
    run_error text,
    recent text NOT NULL DEFAULT '' CHECK (recent ~ '^[CFT]{0,10}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    graph_deleted_at timestamptz,
    UNIQUE (workspace_id, graph_id),
    UNIQUE (workspace_id, id),
    FOREIGN KEY (workspace_id, graph_id) REFERENCES graph_heads (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, graph_id, pinned_version) REFERENCES graphs (workspace_id, id, version),
    FOREIGN KEY (workspace_id, folder_id) REFERENCES library_folders (workspace_id, id),
    CHECK ((run_id IS NULL) = (run_status IS NULL) AND (run_id IS NULL) = (recent = ''))
) WITH (fillfactor = 60);
COMMENT ON COLUMN library_agents.name IS 'Of the version that runs, as is the description.';
COMMENT ON COLUMN library_agents.is_part IS 'It came with another agent, as a sub-agent of that.';
COMMENT ON COLUMN library_agents.needs IS
    'The credentials that the version needs; known when needs_of names that version and the blocks that are installed.';
COMMENT ON COLUMN library_agents.run_id IS
    'The latest run that is over, also by the other columns run_*. Runs that go on are found in executions_open.';
COMMENT ON COLUMN library_agents.recent IS 'How the last ten runs ended, the latest first: C, F or T.';
CREATE INDEX library_agents_updated ON library_agents (workspace_id, updated_at DESC, id)
    WHERE removed_at IS NULL AND graph_deleted_at IS NULL AND NOT is_part AND NOT is_archived;
CREATE INDEX library_agents_created ON library_agents (workspace_id, created_at DESC, id)
    WHERE removed_at IS NULL AND graph_deleted_at IS NULL AND NOT is_part AND NOT is_archived;
CREATE INDEX library_agents_named ON library_agents (workspace_id, lower(name), id)
    WHERE removed_at IS NULL AND graph_deleted_at IS NULL AND NOT is_part AND NOT is_archived;
CREATE INDEX library_agents_filed ON library_agents (workspace_id, folder_id) WHERE folder_id IS NOT NULL;

CREATE TABLE library_favorites (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id, agent_id),
    FOREIGN KEY (workspace_id, agent_id) REFERENCES library_agents (workspace_id, id) ON DELETE CASCADE
);
"""

RUNS = """
CREATE TABLE library_runs_missed (
    workspace_id uuid NOT NULL,
    graph_id text NOT NULL
);
COMMENT ON TABLE library_runs_missed IS
    'Agents whose row could not be written at once, because another commit had it; whoever reads it mends it first.';
CREATE INDEX library_runs_missed_of ON library_runs_missed (workspace_id, graph_id);

CREATE INDEX executions_open ON executions (workspace_id, graph_id, id DESC) INCLUDE (status, started_at)
    WHERE parent_id IS NULL AND status IN ('QUEUED', 'RUNNING', 'WAITING', 'REVIEW');

CREATE FUNCTION library_runs_count(p_workspace uuid, p_graph text) RETURNS void LANGUAGE sql AS $$
    UPDATE library_agents a SET
        run_id = l.id, run_status = l.status, run_started_at = l.started_at, run_ended_at = l.ended_at,
        run_error = l.error, recent = coalesce(l.recent, '')
    FROM (
        SELECT (array_agg(t.id))[1] AS id, (array_agg(t.status))[1] AS status,
            (array_agg(t.started_at))[1] AS started_at, (array_agg(t.ended_at))[1] AS ended_at,
            (array_agg(t.error))[1] AS error, string_agg(left(t.status, 1), '') AS recent
        FROM (
            SELECT e.id, e.status::text, e.started_at, e.ended_at, left(e.error, 300) AS error FROM executions e
            WHERE e.workspace_id = p_workspace AND e.graph_id = p_graph AND e.parent_id IS NULL
                AND e.status IN ('COMPLETED', 'FAILED', 'TERMINATED')
            ORDER BY e.id DESC LIMIT 10
        ) t
    ) l
    WHERE a.workspace_id = p_workspace AND a.graph_id = p_graph;
$$;

CREATE FUNCTION library_runs_add(p_ended uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    workspaces uuid[];
    graphs text[];
    each record;
BEGIN
    -- Waits for nobody: an agent whose row another commit has at this moment is left to whoever comes next.
    WITH ended AS (
        SELECT e.workspace_id, e.graph_id, e.id, e.status::text AS status, e.started_at, e.ended_at,
            left(e.error, 300) AS error
        FROM executions e WHERE e.id = ANY (p_ended)
    ), latest AS (
        SELECT DISTINCT ON (workspace_id, graph_id) ended.*, string_agg(left(status, 1), '') OVER (
            PARTITION BY workspace_id, graph_id ORDER BY id DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS letters
        FROM ended ORDER BY workspace_id, graph_id, id DESC
    ), free AS (
        SELECT a.id FROM library_agents a JOIN latest USING (workspace_id, graph_id)
        FOR NO KEY UPDATE OF a SKIP LOCKED
    ), written AS (
        UPDATE library_agents a SET
            run_id = CASE WHEN a.run_id > l.id THEN a.run_id ELSE l.id END,
            run_status = CASE WHEN a.run_id > l.id THEN a.run_status ELSE l.status END,
            run_started_at = CASE WHEN a.run_id > l.id THEN a.run_started_at ELSE l.started_at END,
            run_ended_at = CASE WHEN a.run_id > l.id THEN a.run_ended_at ELSE l.ended_at END,
            run_error = CASE WHEN a.run_id > l.id THEN a.run_error ELSE l.error END,
            recent = left(l.letters || a.recent, 10)
        FROM free, latest l
        WHERE a.id = free.id AND a.workspace_id = l.workspace_id AND a.graph_id = l.graph_id
        RETURNING a.workspace_id, a.graph_id
    ), missed AS (
        INSERT INTO library_runs_missed (workspace_id, graph_id)
        SELECT a.workspace_id, a.graph_id FROM library_agents a JOIN latest USING (workspace_id, graph_id)
        WHERE NOT EXISTS (SELECT FROM written w WHERE w.workspace_id = a.workspace_id AND w.graph_id = a.graph_id)
    )
    SELECT array_agg(w.workspace_id), array_agg(w.graph_id) INTO workspaces, graphs FROM written w;
    IF EXISTS (SELECT FROM library_runs_missed) THEN
        FOR each IN
            DELETE FROM library_runs_missed m USING unnest(workspaces, graphs) AS w(workspace_id, graph_id)
            WHERE m.workspace_id = w.workspace_id AND m.graph_id = w.graph_id
            RETURNING m.workspace_id, m.graph_id
        LOOP
            PERFORM library_runs_count(each.workspace_id, each.graph_id);
        END LOOP;
    END IF;
END $$;

CREATE FUNCTION library_runs_mend_v1(p_workspace uuid) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT DISTINCT m.graph_id FROM library_runs_missed m WHERE m.workspace_id = p_workspace ORDER BY m.graph_id
    LOOP
        -- Waits for nobody either: what another commit has is taken in when somebody looks again.
        PERFORM FROM library_agents a WHERE a.workspace_id = p_workspace AND a.graph_id = each.graph_id
            FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        DELETE FROM library_runs_missed m WHERE m.workspace_id = p_workspace AND m.graph_id = each.graph_id;
        PERFORM library_runs_count(p_workspace, each.graph_id);
    END LOOP;
END $$;

CREATE FUNCTION library_runs_follow() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ended uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.id) INTO ended FROM new_rows n
        WHERE n.parent_id IS NULL AND n.status IN ('COMPLETED', 'FAILED', 'TERMINATED');
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT array_agg(n.id) INTO ended FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE n.parent_id IS NULL AND n.status IN ('COMPLETED', 'FAILED', 'TERMINATED') AND n.status <> o.status;
    ELSE
        INSERT INTO library_runs_missed (workspace_id, graph_id)
        SELECT DISTINCT o.workspace_id, o.graph_id FROM old_rows o
        JOIN library_agents a ON a.workspace_id = o.workspace_id AND a.graph_id = o.graph_id
        WHERE o.parent_id IS NULL;
    END IF;
    IF ended IS NOT NULL THEN
        PERFORM library_runs_add(ended);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER library_runs_inserted AFTER INSERT ON executions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION library_runs_follow();
CREATE TRIGGER library_runs_updated AFTER UPDATE ON executions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION library_runs_follow();
CREATE TRIGGER library_runs_deleted AFTER DELETE ON executions
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION library_runs_follow();
"""

PRESETS = """
CREATE TABLE library_presets (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    graph_id text NOT NULL,
    graph_version integer,
    name text NOT NULL CHECK (name <> '' AND length(name) <= 200),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 10000),
    inputs jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(inputs) = 'object'),
    secrets jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(secrets) = 'object'),
    credentials jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(credentials) = 'object'),
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    FOREIGN KEY (workspace_id, graph_id) REFERENCES graph_heads (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, graph_id, graph_version) REFERENCES graphs (workspace_id, id, version)
);
COMMENT ON COLUMN library_presets.secrets IS 'Values of secret inputs by name, each as JSON, encrypted.';
COMMENT ON COLUMN library_presets.graph_version IS 'Empty: the one that runs when none is named.';
CREATE INDEX library_presets_listed ON library_presets (workspace_id, updated_at DESC, id) WHERE deleted_at IS NULL;
CREATE INDEX library_presets_of ON library_presets (workspace_id, graph_id, updated_at DESC, id)
    WHERE deleted_at IS NULL;
"""

FOLLOW = """
CREATE FUNCTION library_agents_follow() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO library_agents AS a (workspace_id, graph_id, name, description, newest_version, active_version,
        created_at, updated_at, graph_deleted_at)
    SELECT NEW.workspace_id, NEW.id, v.name, coalesce(v.document ->> 'description', ''), NEW.newest_version,
        NEW.active_version, NEW.created_at, NEW.updated_at, NEW.deleted_at
    FROM graphs v
    WHERE v.workspace_id = NEW.workspace_id AND v.id = NEW.id AND v.version = NEW.active_version
    ON CONFLICT (workspace_id, graph_id) DO UPDATE SET
        name = CASE WHEN a.pinned_version IS NULL THEN excluded.name ELSE a.name END,
        description = CASE WHEN a.pinned_version IS NULL THEN excluded.description ELSE a.description END,
        newest_version = excluded.newest_version,
        active_version = excluded.active_version,
        updated_at = excluded.updated_at,
        -- What was taken out of the library is there again when it is saved again.
        removed_at = CASE WHEN excluded.newest_version = a.newest_version
            AND (a.graph_deleted_at IS NULL OR excluded.graph_deleted_at IS NOT NULL) THEN a.removed_at END,
        graph_deleted_at = excluded.graph_deleted_at;
    RETURN NULL;
END $$;
CREATE TRIGGER library_agents_follow AFTER INSERT OR UPDATE ON graph_heads
    FOR EACH ROW EXECUTE FUNCTION library_agents_follow();

CREATE FUNCTION library_agents_part() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Sub-agents are saved before the agent that they came with, in the same transaction: at the same now().
    UPDATE library_agents a SET is_part = true
    WHERE a.workspace_id = NEW.workspace_id AND a.graph_id = ANY (NEW.children) AND a.created_at = now();
    RETURN NULL;
END $$;
CREATE TRIGGER library_agents_part AFTER INSERT ON graphs
    FOR EACH ROW WHEN (cardinality(NEW.children) > 0) EXECUTE FUNCTION library_agents_part();

-- What is there already.
INSERT INTO library_agents (workspace_id, graph_id, name, description, newest_version, active_version, is_part,
    created_at, updated_at, graph_deleted_at)
SELECT h.workspace_id, h.id, v.name, coalesce(v.document ->> 'description', ''), h.newest_version, h.active_version,
    EXISTS (SELECT FROM graphs p WHERE p.workspace_id = h.workspace_id AND h.id = ANY (p.children)
        AND p.created_at = h.created_at),
    h.created_at, h.updated_at, h.deleted_at
FROM graph_heads h
JOIN graphs v ON v.workspace_id = h.workspace_id AND v.id = h.id AND v.version = h.active_version;
SELECT library_runs_count(workspace_id, graph_id) FROM library_agents;
"""

ACCESS = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON {table} TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT ON {table} TO treadle_engine;
"""
GRANTS = {
    "library_folders": "SELECT, INSERT, UPDATE, DELETE",
    "library_agents": "SELECT, UPDATE",
    "library_favorites": "SELECT, INSERT, DELETE",
    "library_runs_missed": "SELECT",
    "library_presets": "SELECT, INSERT, UPDATE",
}


def upgrade() -> None:
    for statements in (FOLDERS, AGENTS, RUNS, PRESETS, FOLLOW):
        op.execute(statements)
    for table, rights in GRANTS.items():
        op.execute(ACCESS.format(table=table))
        op.execute(f"GRANT {rights} ON {table} TO treadle_api")
    op.execute("REVOKE ALL ON FUNCTION library_runs_mend_v1(uuid) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION library_runs_mend_v1(uuid) TO treadle_api, treadle_engine")
