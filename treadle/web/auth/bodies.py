"""What the clients of Supabase Auth send and expect. Their fields are theirs: those that we do not use are not read."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from treadle.features.accounts.links import Kind
from treadle.web.bodies import Answer, JsonObject
from treadle.web.problems import Failure


class ClientRequest(BaseModel):
    """Base of what those clients send. Every release of theirs may send more; nothing of that reaches an account."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class ComingBack(ClientRequest):
    """With what the one who asks shows later that it was they (PKCE)."""

    code_challenge: str | None = None
    code_challenge_method: str | None = None


class SignUpRequest(ComingBack):
    """A new account."""

    email: str | None = None
    password: str | None = None
    data: JsonObject | None = None
    """What the person says of themselves. ``invitation`` holds the token of an invitation."""


class TokenRequest(ClientRequest):
    """What a session is wanted for: the fields of the grant."""

    email: str | None = None
    password: str | None = None
    refresh_token: str | None = None
    auth_code: str | None = None
    code_verifier: str | None = None


class UserRequest(ComingBack):
    """What is to change about one's own account."""

    email: str | None = None
    password: str | None = None
    current_password: str | None = None
    data: JsonObject | None = None


class MailRequest(ComingBack):
    """A link by mail."""

    email: str


class OtpRequest(MailRequest):
    """A link for signing in."""

    create_user: bool = True


class ResendRequest(MailRequest):
    """Once more."""

    type: Literal["signup", "email_change"]


class VerifyRequest(ClientRequest):
    """What a link has brought."""

    type: Kind
    token_hash: str | None = None
    token: str | None = None
    email: str | None = None


class IdentityAnswer(Answer):
    """One way in which somebody proves who they are."""

    identity_id: UUID
    id: str
    user_id: UUID
    identity_data: JsonObject
    provider: str
    email: str | None = None
    last_sign_in_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


class UserAnswer(Answer):
    """Somebody."""

    id: UUID
    aud: str = "authenticated"
    role: str = "authenticated"
    email: str = ""
    phone: str = ""
    email_confirmed_at: datetime | None = None
    confirmed_at: datetime | None = None
    confirmation_sent_at: datetime | None = None
    new_email: str | None = None
    last_sign_in_at: datetime | None = None
    app_metadata: JsonObject
    user_metadata: JsonObject
    identities: list[IdentityAnswer] = []
    created_at: datetime
    updated_at: datetime
    is_anonymous: bool = False


class SessionAnswer(Answer):
    """A session."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
    expires_at: int
    refresh_token: str
    user: UserAnswer


class SettingsAnswer(Answer):
    """What is possible here."""

    external: dict[str, bool]
    disable_signup: bool
    mailer_autoconfirm: bool
    phone_autoconfirm: bool = False
    sms_provider: str = ""
    saml_enabled: bool = False


class AuthHealth(Answer):
    """Who speaks this interface."""

    version: str
    name: str = "Treadle"
    description: str = "Treadle speaks the HTTP interface of Supabase Auth"


class KeySet(Answer):
    """Public keys (RFC 7517) that access tokens are signed with."""

    keys: list[JsonObject]


class Address(Answer):
    """Where to go on."""

    url: str


class WeakReasons(Answer):
    """Why a password is too weak."""

    reasons: list[str]


class AuthFailure(Answer):
    """What went wrong, as those clients read it: the code is ``error_code``, for newer ones ``code``."""

    code: int | str
    error_code: str | None = None
    msg: str | None = None
    message: str | None = None
    weak_password: WeakReasons | None = None


AnyFailure = AuthFailure | Failure
"""The second from what stands before all routes."""


class SetupRequest(BaseModel):
    """The first account."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: str = Field(max_length=200)
    """What stands behind ``token=`` in the link that ``treadle up`` has printed."""
    email: str = Field(max_length=320)
    password: str = Field(max_length=1_000)
    name: str = Field(default="", max_length=200)


class SetupState(Answer):
    """Whether the first account is still to be made."""

    needed: bool
