"""The keys that encrypt secret inputs, each encrypted by the ring of the install."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE data_keys (
            generation integer PRIMARY KEY CHECK (generation > 0),
            id text NOT NULL UNIQUE,
            ciphertext bytea NOT NULL,
            key_id text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON data_keys TO treadle_engine")
