"""Signing in through a provider, and linking one: addresses that browsers open, and what clients ask before."""

import re
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from treadle.features.accounts.errors import ValidationFailed
from treadle.features.accounts.links import Return, challenge_of
from treadle.features.accounts.provider_sign_in import Brought
from treadle.features.accounts.providers.provider import Wishes
from treadle.web.auth.bodies import Address
from treadle.web.auth.failures import FAILURES, AuthRoute
from treadle.web.auth.routes import Nothing, RedirectTo, TheIdentity
from treadle.web.bodies import PlainText, Responses
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/auth/v1", tags=["auth"], route_class=AuthRoute, responses=FAILURES)

PUBLIC = (
    "/auth/v1/authorize",
    "/auth/v1/callback",
    "/auth/v1/user/identities/authorize",
    "/auth/v1/user/identities/{identity_id}",
)
"""Who opens the first two has no token yet: what somebody comes back with is good once, in the browser that has gone.
The others ask for the token themselves, and fail in their own form.
"""
COOKIE = "treadle-sign-in"
_COOKIE_SECONDS = 600
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749, 3.3."""
_ELSEWHERE: Responses = {302: {"description": "Go on at the page of the header Location."}}
_Short = Annotated[PlainText | None, Query(max_length=320)]
_Long = Annotated[PlainText | None, Query(max_length=2_000)]


@router.get("/authorize", operation_id="auth_authorize", status_code=302, response_class=Response, responses=_ELSEWHERE)
async def authorize(
    request: Request,
    site: TheSite,
    provider: Annotated[PlainText, Query(max_length=100, description="github or google.")],
    redirect_to: RedirectTo = None,
    scopes: Annotated[
        PlainText | None, Query(max_length=1_000, description="More to be asked for, separated by spaces or commas.")
    ] = None,
    code_challenge: _Short = None,
    code_challenge_method: _Short = None,
    invite_token: _Short = None,
    prompt: _Short = None,
    login_hint: _Short = None,
    ticket: Annotated[
        PlainText | None, Query(max_length=200, description="To link an identity; all else is known by it.")
    ] = None,
) -> RedirectResponse:
    """Where the page of a client sends a browser to sign in: leads on to the provider.

    With a challenge the page gets a code to exchange, else a session. Keep the cookie until the browser is back.
    """
    elsewhere = _same_machine(request, site)
    if elsewhere:
        return RedirectResponse(elsewhere, 302)
    kept = request.cookies.get(_cookie(site))
    if ticket is not None:
        departure = await site.door.providers.begin_linking(ticket, kept)
    else:
        back = Return(redirect_to, challenge_of(code_challenge, code_challenge_method))
        wishes = Wishes(_scopes(scopes or ""), prompt or "", login_hint or "")
        departure = await site.door.providers.begin(provider.lower(), back, wishes, kept, invite_token)
    answer = RedirectResponse(departure.address, 302)
    answer.set_cookie(
        _cookie(site),
        departure.browser,
        max_age=_COOKIE_SECONDS,
        secure=_is_secure(site),
        httponly=True,
        samesite="lax",  # the provider's page is another site, from which the browser comes back
    )
    return answer


@router.get("/callback", operation_id="auth_callback", status_code=302, response_class=Response, responses=_ELSEWHERE)
async def callback(
    request: Request,
    site: TheSite,
    state: _Long = None,
    code: _Long = None,
    error: _Long = None,
    iss: _Long = None,
) -> RedirectResponse:
    """Where the provider sends the browser back: leads to the page of the client, with a code or why there is none."""
    brought = Brought(state or "", code or "", error or "", iss)
    page = await site.door.providers.come_back(brought, request.cookies.get(_cookie(site)))
    return RedirectResponse(page, 302)


@router.get(
    "/user/identities/authorize", operation_id="auth_link_identity", responses=_ELSEWHERE, response_model=Address
)
async def link_identity(
    site: TheSite,
    identity: TheIdentity,
    provider: Annotated[PlainText, Query(max_length=100, description="github or google.")],
    redirect_to: RedirectTo = None,
    scopes: Annotated[PlainText | None, Query(max_length=1_000)] = None,
    code_challenge: _Short = None,
    code_challenge_method: _Short = None,
    prompt: _Short = None,
    login_hint: _Short = None,
    skip_http_redirect: Annotated[bool, Query(description="Answer with the address instead of leading there.")] = False,
) -> Address | RedirectResponse:
    """Begin to link an identity to whoever is signed in. It is linked when the code is exchanged."""
    back = Return(redirect_to, challenge_of(code_challenge, code_challenge_method))
    wishes = Wishes(_scopes(scopes or ""), prompt or "", login_hint or "")
    address = await site.door.providers.ticket(identity, provider.lower(), back, wishes)
    return Address(url=address) if skip_http_redirect else RedirectResponse(address, 302)


@router.delete("/user/identities/{identity_id}", operation_id="auth_unlink_identity")
async def unlink_identity(site: TheSite, identity: TheIdentity, identity_id: UUID) -> Nothing:
    """Take an identity away. One at least stays."""
    await site.door.own_account.unlink(identity, identity_id)
    return Nothing()


def _scopes(asked: str) -> tuple[str, ...]:
    found = tuple(filter(None, re.split(r"[ ,]", asked)))
    if not all(_SCOPE.fullmatch(each) for each in found):
        raise ValidationFailed("scopes holds what is no scope", fix="Separate scopes by spaces.")
    return found


def _is_secure(site: Site) -> bool:
    return site.door.desk.landing.url.startswith("https://")


def _cookie(site: Site) -> str:
    """Its name. With this beginning no other host of the same domain can put one there."""
    return f"__Host-{COOKIE}" if _is_secure(site) else COOKIE


def _same_machine(request: Request, site: Site) -> str:
    """The same address under the one name of this machine to which the provider sends the browser back, if it differs.

    Browsers do not give the cookies of localhost to 127.0.0.1.
    """
    own = urlsplit(site.door.desk.landing.url)
    here = request.url
    if {own.hostname, here.hostname} <= _LOOPBACK and own.hostname != here.hostname and own.port == here.port:
        return str(here.replace(scheme=own.scheme, netloc=own.netloc))
    return ""
