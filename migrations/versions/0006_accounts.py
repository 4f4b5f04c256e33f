"""Accounts, sign-ins, members of workspaces and the audit log.

What proves who somebody is (hashes of passwords and tokens, signing keys) only the role ``treadle_auth`` may touch.
Whoever keeps an answer about a session, a user or a member in memory is told by the triggers when it has changed.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PEOPLE = """
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text,
    email_confirmed_at timestamptz,
    email_proven boolean NOT NULL DEFAULT false,
    admin boolean NOT NULL DEFAULT false,
    metadata jsonb NOT NULL DEFAULT '{}',
    disabled_at timestamptz,
    last_sign_in_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN users.email_proven IS
    'Whether a mail has reached them there, or a provider vouches for it. Confirmed alone may mean that nobody asked.';
CREATE INDEX users_email ON users (lower(email));

CREATE TABLE passwords (
    user_id uuid PRIMARY KEY REFERENCES users,
    hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE identities (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    issuer text NOT NULL,
    subject text NOT NULL,
    email text,
    profile jsonb NOT NULL DEFAULT '{}',
    last_sign_in_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (issuer, subject)
);
COMMENT ON TABLE identities IS
    'How a person proves who they are: ''email'' and an address in lower case, a provider and its number, or the '
    'issuer of tokens and their subject. The same address at two issuers is two people.';
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    method text NOT NULL,
    address text NOT NULL DEFAULT '',
    agent text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    refreshed_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    end_reason text,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX sessions_open ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);
CREATE UNIQUE INDEX refresh_tokens_good ON refresh_tokens (session_id) WHERE used_at IS NULL;
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

CREATE TABLE one_time_tokens (
    hash bytea PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN
        ('setup', 'signup', 'recovery', 'email_change', 'magiclink', 'provider', 'code')),
    user_id uuid REFERENCES users,
    details jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CHECK (user_id IS NOT NULL OR purpose IN ('setup', 'provider'))
);
CREATE INDEX one_time_tokens_user ON one_time_tokens (user_id, purpose);
CREATE INDEX one_time_tokens_expiry ON one_time_tokens (expires_at);

CREATE TABLE signing_keys (
    id text PRIMARY KEY,
    public_key jsonb NOT NULL,
    ciphertext bytea NOT NULL,
    key_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
COMMENT ON TABLE signing_keys IS
    'What access tokens are signed with: the newest that is not retired signs, each verifies.';

CREATE UNLOGGED TABLE throttles (
    key bytea PRIMARY KEY,
    level double precision NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE FUNCTION throttles_take_v1(p_key bytea, p_burst double precision, p_per_second double precision)
RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    found throttles;
    filled double precision;
BEGIN
    -- Takes one from a bucket that fills by itself. The seconds until there is one again; 0 when it was taken.
    INSERT INTO throttles VALUES (p_key, p_burst, clock_timestamp()) ON CONFLICT DO NOTHING;
    SELECT * INTO found FROM throttles WHERE key = p_key FOR UPDATE;
    filled := least(p_burst,
        found.level + p_per_second * greatest(0, extract(epoch FROM clock_timestamp() - found.updated_at)));
    IF filled >= 1 THEN
        filled := filled - 1;
        UPDATE throttles SET level = filled, updated_at = clock_timestamp() WHERE key = p_key;
        RETURN 0;
    END IF;
    UPDATE throttles SET level = filled, updated_at = clock_timestamp() WHERE key = p_key;
    RETURN (1 - filled) / p_per_second;
END $$;
"""

WORKSPACES = """
ALTER TABLE workspaces
    ADD COLUMN personal_of uuid UNIQUE REFERENCES users,
    ADD COLUMN deleted_at timestamptz,
    ADD CHECK (personal_of IS NULL OR deleted_at IS NULL);

CREATE TABLE members (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    user_id uuid NOT NULL REFERENCES users,
    role text NOT NULL CHECK (role IN ('owner', 'editor', 'runner', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

CREATE TABLE invitations (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    email text NOT NULL CHECK (email = lower(email)),
    role text NOT NULL CHECK (role IN ('owner', 'editor', 'runner', 'viewer')),
    hash bytea NOT NULL UNIQUE,
    invited_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by uuid REFERENCES users,
    revoked_at timestamptz,
    CHECK (accepted_at IS NULL OR revoked_at IS NULL),
    CHECK ((accepted_at IS NULL) = (accepted_by IS NULL))
);
CREATE UNIQUE INDEX invitations_open ON invitations (workspace_id, email)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX invitations_email ON invitations (email) WHERE accepted_at IS NULL AND revoked_at IS NULL;

CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    workspace_id uuid REFERENCES workspaces,
    actor uuid REFERENCES users,
    action text NOT NULL,
    target text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_workspace ON audit_log (workspace_id, id DESC) WHERE workspace_id IS NOT NULL;
"""

RULES = """
CREATE FUNCTION members_keep_an_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Two owners who leave at once must not each count on the other.
    PERFORM 1 FROM workspaces WHERE id = OLD.workspace_id FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT 1 FROM members WHERE workspace_id = OLD.workspace_id AND role = 'owner') THEN
        RAISE EXCEPTION 'workspace % would have no owner', OLD.workspace_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'members_keep_an_owner';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER members_keep_an_owner AFTER UPDATE OR DELETE ON members
    FOR EACH ROW WHEN (OLD.role = 'owner') EXECUTE FUNCTION members_keep_an_owner();

CREATE FUNCTION users_keep_an_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7526411283028664699);
    IF NOT EXISTS (SELECT 1 FROM users WHERE admin AND disabled_at IS NULL) THEN
        RAISE EXCEPTION 'the installation would have no administrator'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'users_keep_an_admin';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER users_keep_an_admin AFTER UPDATE OF admin, disabled_at ON users FOR EACH ROW
    WHEN (OLD.admin AND OLD.disabled_at IS NULL AND NOT (NEW.admin AND NEW.disabled_at IS NULL))
    EXECUTE FUNCTION users_keep_an_admin();

CREATE FUNCTION audit_log_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever added to' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_keeps();
"""

TELLING = """
CREATE FUNCTION tell_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'sessions' THEN
        PERFORM pg_notify('treadle_accounts', 'session ' || NEW.id);
    ELSIF TG_TABLE_NAME = 'users' THEN
        PERFORM pg_notify('treadle_accounts', 'user ' || NEW.id);
    ELSIF TG_TABLE_NAME = 'workspaces' THEN
        PERFORM pg_notify('treadle_accounts', 'workspace ' || NEW.id);
    ELSIF TG_TABLE_NAME = 'signing_keys' THEN
        PERFORM pg_notify('treadle_accounts', 'keys ' || NEW.id);
    ELSE
        PERFORM pg_notify('treadle_accounts', 'member ' || coalesce(NEW.user_id, OLD.user_id));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_told AFTER UPDATE OF ended_at ON sessions FOR EACH ROW
    WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION tell_accounts();
CREATE TRIGGER users_told AFTER UPDATE OF admin, disabled_at ON users FOR EACH ROW
    WHEN (OLD.admin <> NEW.admin OR OLD.disabled_at IS DISTINCT FROM NEW.disabled_at)
    EXECUTE FUNCTION tell_accounts();
CREATE TRIGGER workspaces_told AFTER UPDATE OF deleted_at, personal_of ON workspaces FOR EACH ROW
    EXECUTE FUNCTION tell_accounts();
CREATE TRIGGER signing_keys_told AFTER INSERT OR UPDATE OF retired_at ON signing_keys FOR EACH ROW
    EXECUTE FUNCTION tell_accounts();
CREATE TRIGGER members_told AFTER INSERT OR UPDATE OR DELETE ON members FOR EACH ROW
    EXECUTE FUNCTION tell_accounts();
"""

ACCESS = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON {table} TO treadle_api
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid)
    WITH CHECK (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
CREATE POLICY accounts ON {table} TO treadle_auth USING (true) WITH CHECK (true);
"""

GRANTS = """
CREATE POLICY accounts ON workspaces TO treadle_auth USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON workspaces TO treadle_auth;
GRANT SELECT, INSERT, UPDATE ON users, passwords, identities, invitations, signing_keys TO treadle_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, refresh_tokens, one_time_tokens, throttles, members TO treadle_auth;
GRANT SELECT ON members TO treadle_api;
-- Moving what is encrypted to a new key is done by the engine's role, for all tables in one go.
GRANT SELECT (id, ciphertext, key_id), UPDATE (ciphertext, key_id) ON signing_keys TO treadle_engine;
GRANT SELECT, INSERT ON audit_log TO treadle_auth, treadle_api;
GRANT INSERT ON audit_log TO treadle_engine;
INSERT INTO users (id, metadata) VALUES ('00000000-0000-7000-8000-000000000002', '{"name": "Operator"}');
"""


def upgrade() -> None:
    op.execute(PEOPLE)
    op.execute(WORKSPACES)
    op.execute(RULES)
    op.execute(TELLING)
    for table in ("members", "invitations", "audit_log"):
        op.execute(ACCESS.format(table=table))
    op.execute(GRANTS)
