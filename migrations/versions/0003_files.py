"""Files of people. The bytes are in the file store, under ``place``."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE files (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    created_by uuid NOT NULL,
    place uuid NOT NULL UNIQUE,
    name text NOT NULL CHECK (name <> '' AND length(name) <= 255),
    content_type text NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    sha256 bytea,
    status text NOT NULL CHECK (status IN ('ARRIVING', 'READY', 'QUARANTINED')),
    scan text NOT NULL DEFAULT 'NONE' CHECK (scan IN ('NONE', 'CLEAN', 'INFECTED')),
    finding text NOT NULL DEFAULT '',
    idempotency_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    CHECK (status <> 'READY' OR (sha256 IS NOT NULL AND scan <> 'INFECTED'))
);
CREATE INDEX files_listed ON files (workspace_id, created_at DESC, id DESC);
CREATE UNIQUE INDEX files_idempotency ON files (workspace_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX files_expiring ON files (expires_at) WHERE expires_at IS NOT NULL;
ALTER TABLE files ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON files TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON files TO treadle_api;
GRANT SELECT, DELETE ON files TO treadle_engine;
"""


def upgrade() -> None:
    op.execute(TABLE)
