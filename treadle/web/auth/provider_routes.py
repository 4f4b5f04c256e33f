"""Signing in through a provider: two addresses that browsers open."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from treadle.features.accounts.errors import ValidationFailed
from treadle.features.accounts.links import Return, challenge_of
from treadle.features.accounts.provider_sign_in import Brought
from treadle.features.accounts.providers.provider import Wishes
from treadle.web.auth.failures import FAILURES, AuthRoute
from treadle.web.auth.routes import RedirectTo
from treadle.web.bodies import PlainText, Responses
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/auth/v1", tags=["auth"], route_class=AuthRoute, responses=FAILURES)

PUBLIC = ("/auth/v1/authorize", "/auth/v1/callback")
"""Whoever opens them has no token yet. What somebody comes back with is good once, in the browser that has gone."""
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
) -> RedirectResponse:
    """Where the page of a client sends a browser to sign in: leads on to the provider.

    With a challenge the page gets a code to exchange, else a session. Keep the cookie until the browser is back.
    """
    elsewhere = _same_machine(request, site)
    if elsewhere:
        return RedirectResponse(elsewhere, 302)
    back = Return(redirect_to, challenge_of(code_challenge, code_challenge_method))
    wishes = Wishes(_scopes(scopes or ""), prompt or "", login_hint or "")
    kept = request.cookies.get(_cookie(site))
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
