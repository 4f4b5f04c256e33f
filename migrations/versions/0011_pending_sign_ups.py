"""Who signs up is nobody yet until the address is confirmed: the link itself holds what the account will be made of."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE one_time_tokens DROP CONSTRAINT one_time_tokens_check;
        ALTER TABLE one_time_tokens ADD CONSTRAINT one_time_tokens_user
            CHECK (user_id IS NOT NULL OR purpose IN ('setup', 'provider', 'signup'));
        CREATE INDEX one_time_tokens_sign_up ON one_time_tokens ((details ->> 'email'))
            WHERE purpose = 'signup' AND used_at IS NULL;
        """
    )
