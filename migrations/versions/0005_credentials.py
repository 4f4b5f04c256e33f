"""Credentials of workspaces, encrypted."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE credentials (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    id uuid NOT NULL,
    provider text NOT NULL CHECK (length(provider) BETWEEN 1 AND 100),
    kind text NOT NULL CHECK (kind IN ('api_key', 'oauth2', 'user_password', 'host_scoped')),
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    username text NOT NULL DEFAULT '' CHECK (length(username) <= 500),
    hosts text[] NOT NULL CHECK (cardinality(hosts) > 0),
    ciphertext bytea NOT NULL,
    key_id text NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at timestamptz,
    PRIMARY KEY (workspace_id, id)
);
COMMENT ON COLUMN credentials.hosts IS 'The exact hosts to which the secret may be sent.';
CREATE INDEX credentials_key ON credentials (key_id);

ALTER TABLE credentials ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON credentials TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON credentials TO treadle_api;
GRANT SELECT, UPDATE ON credentials TO treadle_engine;
"""


def upgrade() -> None:
    op.execute(TABLE)
