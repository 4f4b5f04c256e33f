"""People take away ways in which they come in, and with the address the password."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT DELETE ON identities, passwords TO treadle_auth")
