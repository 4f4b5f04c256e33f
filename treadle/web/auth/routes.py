"""Routes below ``/auth/v1``: the part of Supabase Auth's interface that its official clients use."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.security import HTTPBearer

from treadle.base.errors import TreadleError
from treadle.features.accounts.access import Identity
from treadle.features.accounts.errors import (
    AnonymousDisabled,
    UnsupportedGrant,
    ValidationFailed,
)
from treadle.features.accounts.landing import with_fragment
from treadle.features.accounts.links import Kind, Return, challenge_of
from treadle.features.accounts.own_account import Changes
from treadle.features.accounts.sessions import SignedIn, SignOutScope
from treadle.web.access import IDENTITY
from treadle.web.auth.answers import session_answer, unconfirmed_answer, user_answer
from treadle.web.auth.bodies import (
    AuthHealth,
    ComingBack,
    KeySet,
    MailRequest,
    OtpRequest,
    ResendRequest,
    SessionAnswer,
    SettingsAnswer,
    SignUpRequest,
    TokenRequest,
    UserAnswer,
    UserRequest,
    VerifyRequest,
)
from treadle.web.auth.failures import FAILURES, AuthRoute
from treadle.web.bodies import Answer, Responses
from treadle.web.site import TheSite

router = APIRouter(prefix="/auth/v1", tags=["auth"], route_class=AuthRoute, responses=FAILURES)

_bearer = HTTPBearer(auto_error=False, description="The access token of a session.")
PUBLIC = tuple(
    f"/auth/v1/{path}"
    for path in (
        *("signup", "token", "user", "logout", "recover", "otp", "resend", "verify"),
        *("settings", "health", ".well-known/jwks.json"),
    )
)
"""How people get a token. Those of these routes that need one ask for it themselves, and fail in their own form."""
RedirectTo = Annotated[
    str | None, Query(max_length=2_000, description="The page to come back to: one of the operator's.")
]
_ELSEWHERE: Responses = {303: {"description": "Go on at the page of the header Location."}}


class Nothing(Answer):
    """It was asked for; whether anything was done is not told."""


async def _signed_in(request: Request, site: TheSite, _: Annotated[object, Depends(_bearer)]) -> Identity:
    """Whoever is signed in. Raises ``NotSignedIn``, ``BadToken``, ``SessionGone``."""
    identity: Identity | None = request.scope.get(IDENTITY)
    if identity is not None and identity.key is None:
        return identity
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    raise await site.accounts.why_nobodys(token.strip() if scheme.lower() == "bearer" else "")


TheIdentity = Annotated[Identity, Depends(_signed_in)]


def _back(body: ComingBack, page: str | None) -> Return:
    return Return(page, challenge_of(body.code_challenge, body.code_challenge_method))


@router.post("/signup", operation_id="auth_sign_up")
async def sign_up(site: TheSite, body: SignUpRequest, redirect_to: RedirectTo = None) -> SessionAnswer | UserAnswer:
    """Make an account. With mail the address must be confirmed first, and the answer is the person alone."""
    if body.email is None and body.password is None:
        raise AnonymousDisabled()
    if not body.email or not body.password:
        raise ValidationFailed("Signup requires a valid email and password", fix="Send both.")
    back = _back(body, redirect_to)
    made = await site.door.sign_up.with_password(body.email, body.password, body.data, back)
    if isinstance(made, SignedIn):
        return session_answer(made)
    return unconfirmed_answer(made, body.email.strip().lower(), body.data or {}, site.door.desk.clock.now())


@router.post("/token", operation_id="auth_token")
async def token(
    site: TheSite, body: TokenRequest, grant_type: Annotated[str, Query(description="password, refresh_token, pkce")]
) -> SessionAnswer:
    """Begin a session, or carry one on."""
    match grant_type:
        case "password":
            if not body.email or body.password is None:
                raise ValidationFailed("missing email or password", fix="Send both.")
            found = await site.door.sign_in.with_password(body.email, body.password)
        case "refresh_token":
            if not body.refresh_token:
                raise ValidationFailed("missing refresh_token", fix="Send it.")
            found = await site.sessions.carry_on(body.refresh_token)
        case "pkce":
            if not body.auth_code or not body.code_verifier:
                raise ValidationFailed("missing auth_code or code_verifier", fix="Send both.")
            found = await site.door.sign_in.with_code(body.auth_code, body.code_verifier)
        case _:
            raise UnsupportedGrant()
    return session_answer(found)


@router.get("/user", operation_id="auth_get_user")
async def get_user(site: TheSite, identity: TheIdentity) -> UserAnswer:
    """Whoever is signed in."""
    return user_answer(await site.door.own_account.get(identity))


@router.put("/user", operation_id="auth_update_user")
async def update_user(
    site: TheSite, identity: TheIdentity, body: UserRequest, redirect_to: RedirectTo = None
) -> UserAnswer:
    """Change one's own account. A new password ends all other sessions."""
    changes = Changes(body.email, body.password, body.current_password, body.data)
    return user_answer(await site.door.own_account.change(identity, changes, _back(body, redirect_to)))


@router.post("/logout", operation_id="auth_sign_out", status_code=204, response_class=Response)
async def logout(site: TheSite, identity: TheIdentity, scope: SignOutScope = "global") -> None:
    """End all sessions of the person, this one, or all others. What they were good for is refused at once."""
    await site.sessions.end(identity, scope)


@router.post("/recover", operation_id="auth_recover")
async def recover(site: TheSite, body: MailRequest, redirect_to: RedirectTo = None) -> Nothing:
    """Mail a link for a new password, if the address has an account; the answer does not tell whether."""
    await site.door.mailed_links.ask("recovery", body.email, _back(body, redirect_to))
    return Nothing()


@router.post("/otp", operation_id="auth_otp")
async def otp(site: TheSite, body: OtpRequest, redirect_to: RedirectTo = None) -> Nothing:
    """Mail a link for signing in, if the address has an account; the answer does not tell whether."""
    await site.door.mailed_links.ask("magiclink", body.email, _back(body, redirect_to))
    return Nothing()


@router.post("/resend", operation_id="auth_resend")
async def resend(site: TheSite, body: ResendRequest, redirect_to: RedirectTo = None) -> Nothing:
    """Mail a link once more, if one is waited for; the answer does not tell whether."""
    if body.type == "signup":
        await site.door.sign_up.resend(body.email, _back(body, redirect_to))
    else:
        await site.door.own_account.resend(body.email, _back(body, redirect_to))
    return Nothing()


@router.post("/verify", operation_id="auth_verify")
async def verify(site: TheSite, body: VerifyRequest) -> SessionAnswer:
    """Exchange what a link has brought for a session."""
    token = body.token_hash or body.token
    if not token:
        raise ValidationFailed("Verify requires a token or a token hash", fix="Send what the link has brought.")
    return session_answer(await site.door.mailed_links.come_back(body.type, token, body.email))


@router.get("/verify", operation_id="auth_verify_link", status_code=303, response_class=Response, responses=_ELSEWHERE)
async def verify_link(
    site: TheSite, token: Annotated[str, Query(max_length=200)], type: Kind, redirect_to: RedirectTo = None
) -> RedirectResponse:
    """What the link of a mail opens: leads to the page that has asked for it, with a code or a session, or why not."""
    try:
        page = await site.door.mailed_links.come_back_in_browser(type, token, redirect_to)
    except TreadleError as error:
        told = {"error": "access_denied", "error_code": error.code, "error_description": error.message}
        page = with_fragment(site.door.desk.landing.page(redirect_to), told)
    return RedirectResponse(page, 303)


@router.get("/settings", operation_id="auth_settings")
async def settings(site: TheSite) -> SettingsAnswer:
    """What is possible here."""
    return SettingsAnswer(
        external={
            "email": True,
            "phone": False,
            "anonymous_users": False,
            **{name: site.door.providers.has(name) for name in ("github", "google")},
        },
        disable_signup=site.door.desk.admission.policy != "open",
        mailer_autoconfirm=not site.door.desk.links.sends_mail,
    )


@router.get("/health", operation_id="auth_health")
async def health(site: TheSite) -> AuthHealth:
    """Who speaks this interface."""
    return AuthHealth(version=site.version)


@router.get("/.well-known/jwks.json", operation_id="auth_keys")
async def keys(site: TheSite) -> KeySet:
    """Public keys of access tokens."""
    return KeySet(keys=[dict(each) for each in await site.door.keys.published()])
