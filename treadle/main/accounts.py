"""Commands about accounts, for whoever runs the machine: links that open the door once."""

from treadle.base.config import Settings
from treadle.base.errors import Conflict
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR
from treadle.features.accounts.access import Principal, Role
from treadle.features.accounts.invitations import Wanted
from treadle.main.instance import running_instance, server_url
from treadle.main.people import people_of
from treadle.main.sessions import looking_platform
from treadle.main.terminal import err, out, program


async def print_setup_link() -> None:
    """Print a link for making the first account. The links before it are good no more.

    Raises:
        Conflict: there is an administrator.
    """
    async with looking_platform() as platform:
        link = await people_of(platform, None, _url(platform.settings)).door.setup.link()
    if link is None:
        raise Conflict(
            "This installation has an administrator.", fix="Sign in; `treadle reset-password EMAIL` if that fails."
        )
    _print_link(platform.settings, link, "It makes the first account; good for a day, and once.")


async def print_reset_link(email: str) -> None:
    """Print a link with which somebody chooses a new password. It is good for a quarter of an hour, once.

    Raises:
        BadEmail, NotFound: nobody signs in with this address.
    """
    async with looking_platform() as platform:
        link = await people_of(platform, None, _url(platform.settings)).door.mailed_links.make(email)
    _print_link(platform.settings, link, f"Hand it to {email}; good for a quarter of an hour, and once.")


async def print_invitation_link(email: str, role: str | None) -> None:
    """Print a link with which somebody makes an account; with a role it makes them a member of the local workspace too.

    Raises:
        BadEmail: it is no address.
        Conflict: the address has an account or is a member already, or nobody may make an account here.
    """
    operator = Principal(OPERATOR, LOCAL_WORKSPACE, Role.OWNER, admin=True)
    async with looking_platform() as platform:
        people = people_of(platform, None, _url(platform.settings))
        issued = await people.invitations.invite(operator, Wanted(email, Role(role) if role else None))
    _print_link(platform.settings, issued.link, f"Hand it to {email}; good for a week, and once.")


def _print_link(settings: Settings, link: str, about: str) -> None:
    """A link on standard output, so that programs can take it; beside it what a person should know."""
    out().print(link)
    notes = err()
    notes.print(about, style="dim")
    if running_instance(settings.home) is None and not settings.public_url:
        notes.print(f"Treadle does not run here now: start it with {program()} up before the link is opened.")


def _url(settings: Settings) -> str:
    """Where the server of this data folder is, or will be."""
    running = running_instance(settings.home)
    return running.url if running else server_url(settings)
