"""Invitations to the installation itself, links that prove an address, acts on accounts that are done once, and the end
of deleted workspaces."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INVITATIONS = """
ALTER TABLE invitations
    ALTER COLUMN workspace_id DROP NOT NULL,
    ALTER COLUMN role DROP NOT NULL,
    ADD COLUMN mailed_hash bytea UNIQUE,
    ADD CHECK ((workspace_id IS NULL) = (role IS NULL));
COMMENT ON COLUMN invitations.workspace_id IS 'None: to have an account here, and no more.';
COMMENT ON COLUMN invitations.hash IS 'Of the token in the link that the inviter was given.';
COMMENT ON COLUMN invitations.mailed_hash IS
    'Of the token in the link that was mailed: whoever holds that one has read the mail, so the address is theirs.';
CREATE UNIQUE INDEX invitations_open_to_install ON invitations (email)
    WHERE workspace_id IS NULL AND accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX invitations_listed ON invitations (workspace_id, id DESC)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
GRANT DELETE ON invitations TO treadle_auth;
"""

AUDIT = """
CREATE INDEX audit_log_actor ON audit_log (actor, id DESC) WHERE actor IS NOT NULL;
CREATE INDEX audit_log_action ON audit_log (action text_pattern_ops, id DESC);
"""

ONCE = """
CREATE POLICY accounts ON idempotency_keys TO treadle_auth
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON idempotency_keys TO treadle_auth;
"""

PURGE = """
ALTER TABLE workspaces ADD COLUMN purged_at timestamptz, ADD CHECK (purged_at IS NULL OR deleted_at IS NOT NULL);
CREATE INDEX workspaces_deleted ON workspaces (deleted_at) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
"""


def upgrade() -> None:
    op.execute(INVITATIONS)
    op.execute(AUDIT)
    op.execute(ONCE)
    op.execute(PURGE)
