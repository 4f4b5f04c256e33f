"""Of each version of an agent it is known whether its secrets are encrypted.

Those that the release before saves in the meantime are encrypted, and are looked at once more.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE graphs ADD COLUMN sealed boolean NOT NULL DEFAULT false;
        COMMENT ON COLUMN graphs.sealed IS 'Whether its secrets are encrypted for certain.';
        CREATE INDEX graphs_unsealed ON graphs (workspace_id, id, version) WHERE NOT sealed;
        """
    )
