"""The first account, and the pages that people need before there is any other."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from treadle.base.errors import NotFound
from treadle.web.auth.answers import session_answer
from treadle.web.auth.bodies import SessionAnswer, SetupRequest, SetupState
from treadle.web.bodies import OPEN
from treadle.web.site import TheSite

_FOLDER = Path(__file__).parent / "page"
_ASSETS = {"page.js": "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

PUBLIC = ("/", "/api/v2/setup", "/setup", "/setup/{name}", "/reset-password", "/invitation")
"""Nobody has a token before the first account is made; who has forgotten their password or is invited has none either.
Whoever opens the bare address, or is sent there by a sign-in that failed, must be told where they are.
"""

router = APIRouter(tags=["setup"])
pages = APIRouter(include_in_schema=False)


@router.get("/api/v2/setup", operation_id="get_setup")
async def get_setup(site: TheSite) -> SetupState:
    """Whether the first account is still to be made."""
    return SetupState(needed=await site.door.setup.is_needed())


@router.post("/api/v2/setup", operation_id="set_up", status_code=201, responses=OPEN)
async def set_up(site: TheSite, body: SetupRequest) -> SessionAnswer:
    """Make the first account, with the token of the link that ``treadle up`` has printed, and sign it in."""
    return session_answer(await site.door.setup.complete(body.token, body.email, body.password, body.name))


@pages.get("/")
async def start_page() -> FileResponse:
    """Where the bare address leads, and sign-ins that come from no page."""
    return _page("start.html")


@pages.get("/setup")
async def setup_page() -> FileResponse:
    """The page for the first account."""
    return _page("setup.html")


@pages.get("/reset-password")
async def reset_page() -> FileResponse:
    """The page for a new password."""
    return _page("reset-password.html")


@pages.get("/invitation")
async def invitation_page() -> FileResponse:
    """The page for whoever is invited."""
    return _page("invitation.html")


@pages.get("/setup/{name}")
async def asset(name: str) -> FileResponse:
    """What they load."""
    if name not in _ASSETS:
        raise NotFound(f"There is no file {name[:100]}.")
    return FileResponse(_FOLDER / name, media_type=_ASSETS[name])


def _page(name: str) -> FileResponse:
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return FileResponse(_FOLDER / name, media_type="text/html; charset=utf-8", headers=headers)
