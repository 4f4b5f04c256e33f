"""Keys of requests that were done, with their answers, so that a request that is sent again does nothing twice."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE idempotency_keys (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    user_id uuid NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    route text NOT NULL,
    digest bytea NOT NULL,
    status smallint CHECK (status BETWEEN 200 AND 299),
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id, key),
    CHECK ((status IS NULL) = (body IS NULL))
);
COMMENT ON TABLE idempotency_keys IS
    'Written in the transaction of the act itself: status and body are empty only inside of that.';
CREATE INDEX idempotency_keys_old ON idempotency_keys (created_at);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON idempotency_keys TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON idempotency_keys TO treadle_api;
GRANT SELECT, DELETE ON idempotency_keys TO treadle_engine;
"""

CLAIM = """
CREATE FUNCTION idempotency_claim_v1(p_workspace uuid, p_user uuid, p_key text, p_route text, p_digest bytea)
RETURNS SETOF idempotency_keys LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
BEGIN
    -- Nothing when the key is new and now taken; else its row. Waits for a transaction that has just taken it.
    INSERT INTO idempotency_keys (workspace_id, user_id, key, route, digest)
    VALUES (p_workspace, p_user, p_key, p_route, p_digest)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN QUERY SELECT * FROM idempotency_keys k
            WHERE k.workspace_id = p_workspace AND k.user_id = p_user AND k.key = p_key;
    END IF;
END $$;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(CLAIM)
