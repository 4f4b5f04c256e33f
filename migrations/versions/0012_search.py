"""What blocks and agents are found by: their words, and vectors of their meaning; and what people have looked for."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WORDS = """
    words tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('english', title), 'A')
        || setweight(to_tsvector('english', body), 'C')
    ) STORED
"""

TABLES = f"""
CREATE TABLE block_texts (
    digest bytea NOT NULL,
    model text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    {WORDS},
    embedding vector,
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (digest, model)
);
COMMENT ON TABLE block_texts IS
    'What the blocks of this install say of themselves, by the hash of that. Rows without an embedding wait for one.';

CREATE TABLE graph_texts (
    workspace_id uuid NOT NULL,
    graph_id text NOT NULL,
    digest bytea NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    {WORDS},
    model text NOT NULL DEFAULT '',
    embedding vector,
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, graph_id),
    FOREIGN KEY (workspace_id, graph_id) REFERENCES graph_heads (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE graph_texts IS
    'What the newest version of each graph says of itself. Rows without an embedding wait for one.';
CREATE INDEX graph_texts_waiting ON graph_texts (due_at) WHERE embedding IS NULL;

INSERT INTO graph_texts (workspace_id, graph_id, digest, title, body)
SELECT workspace_id, id, sha256(convert_to(name || description, 'UTF8')), left(name, 500), left(description, 20000)
FROM graph_heads;

CREATE TABLE recent_searches (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    user_id uuid NOT NULL,
    query text NOT NULL,
    searched_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX recent_searches_listed ON recent_searches (workspace_id, user_id, searched_at DESC);
"""

ACCESS = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON {table} TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO treadle_api;
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table in ("graph_texts", "recent_searches"):
        op.execute(ACCESS.format(table=table))
    op.execute("GRANT SELECT ON block_texts TO treadle_api")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON block_texts TO treadle_engine")
    op.execute("GRANT SELECT, UPDATE ON graph_texts TO treadle_engine")
