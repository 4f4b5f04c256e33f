"""Keys of the external API: their hashes only, for the role that alone may touch accounts."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    user_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CHECK (name <> ''),
    head text NOT NULL,
    hash bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_listed ON api_keys (workspace_id, user_id, id DESC);
CREATE TRIGGER api_keys_told AFTER UPDATE OF revoked_at ON api_keys FOR EACH ROW
    WHEN (NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION tell_key();
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY accounts ON api_keys TO treadle_auth USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON api_keys TO treadle_auth;
"""

TELL = """
CREATE FUNCTION tell_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('treadle_accounts', 'key ' || NEW.id);
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(TELL)
    op.execute(TABLE)
