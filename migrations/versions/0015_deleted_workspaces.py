"""A workspace that was deleted needs no owner, so that its members can be removed with everything else in it."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE OR REPLACE FUNCTION members_keep_an_owner() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Two owners who leave at once must not each count on the other.
            PERFORM 1 FROM workspaces WHERE id = OLD.workspace_id AND deleted_at IS NULL FOR NO KEY UPDATE;
            IF FOUND
                AND NOT EXISTS (SELECT 1 FROM members WHERE workspace_id = OLD.workspace_id AND role = 'owner') THEN
                RAISE EXCEPTION 'workspace % would have no owner', OLD.workspace_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'members_keep_an_owner';
            END IF;
            RETURN NULL;
        END $$;
        """
    )
