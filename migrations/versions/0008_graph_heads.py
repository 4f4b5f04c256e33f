"""One row for each graph: its name, the version that runs when none is asked for, and whether it is deleted."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

VERSIONS = """
ALTER TABLE graphs
    ADD COLUMN created_by uuid,
    ADD COLUMN note text NOT NULL DEFAULT '',
    ADD COLUMN children text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN graphs.children IS 'The ids of the graphs that this version runs as sub-agents.';
UPDATE graphs g SET children = found.ids
FROM (
    SELECT g.workspace_id, g.id, g.version, array_agg(DISTINCT node #>> '{input_default,graph_id}') AS ids
    FROM graphs g CROSS JOIN LATERAL jsonb_array_elements(g.document -> 'nodes') AS node
    WHERE jsonb_typeof(node #> '{input_default,graph_id}') = 'string' AND node ->> 'block_id' IN (
        'e189baac-8c20-45a1-94a7-55177ea42565', '6e1444a9-0576-4866-a61e-2b16ed5d2b85')
    GROUP BY g.workspace_id, g.id, g.version
) found
WHERE (g.workspace_id, g.id, g.version) = (found.workspace_id, found.id, found.version);
"""

HEADS = """
CREATE TABLE graph_heads (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    id text NOT NULL,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    newest_version integer NOT NULL,
    active_version integer NOT NULL,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, id, newest_version) REFERENCES graphs (workspace_id, id, version),
    FOREIGN KEY (workspace_id, id, active_version) REFERENCES graphs (workspace_id, id, version),
    CHECK (active_version <= newest_version)
);
CREATE INDEX graph_heads_updated ON graph_heads (workspace_id, updated_at DESC, id) WHERE deleted_at IS NULL;
CREATE INDEX graph_heads_created ON graph_heads (workspace_id, created_at DESC, id) WHERE deleted_at IS NULL;
CREATE INDEX graph_heads_named ON graph_heads (workspace_id, lower(name), id) WHERE deleted_at IS NULL;

INSERT INTO graph_heads (workspace_id, id, name, description, newest_version, active_version, created_at, updated_at)
SELECT g.workspace_id, g.id, g.name, coalesce(g.document ->> 'description', ''), g.version, g.version,
    first.created_at, g.created_at
FROM (
    SELECT workspace_id, id, max(version) AS version, min(created_at) AS created_at FROM graphs
    GROUP BY workspace_id, id
) first
JOIN graphs g USING (workspace_id, id, version);
"""

ACCESS = """
ALTER TABLE graph_heads ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON graph_heads TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON graph_heads TO treadle_api, treadle_engine;
"""


def upgrade() -> None:
    op.execute(VERSIONS)
    op.execute(HEADS)
    op.execute(ACCESS)
