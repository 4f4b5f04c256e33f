"""The first account of an install: made by whoever holds the link that the machine itself has printed."""

from treadle.base.errors import Conflict
from treadle.base.ids import LOCAL_WORKSPACE, UserId, uuid7
from treadle.features.accounts.addresses import EMAIL, normalised
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.errors import UserExists
from treadle.features.accounts.passwords import checked
from treadle.features.accounts.profiles import checked_profile
from treadle.features.accounts.registration import Newcomer, register
from treadle.features.accounts.sessions import SignedIn
from treadle.features.accounts.throttle import LINK_ADDRESS
from treadle.features.audit.service import record

PAGE = "/setup"


class Setup:
    """Makes the first account, which administers the install and takes over what the machine's own person has made."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def is_needed(self) -> bool:
        """Whether nobody administers the install yet."""
        async with self._desk.storage.repository() as accounts:
            return not await accounts.has_administrator()

    async def link(self) -> str | None:
        """A fresh link, after which older ones are good no more; None when there is an administrator."""
        async with self._desk.storage.repository() as accounts:
            if await accounts.has_administrator():
                return None
            token = await self._desk.links.make(accounts, "setup", None, {})
        return f"{self._desk.landing.page(None, PAGE)}#token={token}"

    async def complete(self, token: str, email: str, password: str, name: str) -> SignedIn:
        """Make the account, and sign it in.

        Raises:
            BadEmail, WeakPassword: what was given cannot be used; the link stays good.
            LinkExpired: the link is wrong, was used, or has run out.
            Conflict: there is an administrator.
            TooOften: from this place.
        """
        desk = self._desk
        await desk.take_turn(LINK_ADDRESS)
        address = normalised(email)
        hash = await desk.passwords.hashed(checked(password, address))
        profile = checked_profile({"name": name} if name else {})
        async with desk.storage.repository() as accounts:
            await desk.links.take(accounts, "setup", token)
            await accounts.one_at_a_time(EMAIL, "")  # two links at once make one owner
            if await accounts.has_administrator():
                raise Conflict("This installation has an administrator.", fix="Sign in, or ask them to invite you.")
            if await accounts.identity(EMAIL, address) is not None:
                raise UserExists()
            owner = Newcomer(
                EMAIL,
                address,
                address,
                confirmed_at=desk.clock.now(),
                profile=profile,
                admin=True,
                id=UserId(uuid7()),
            )
            user = await register(accounts, owner, takes=LOCAL_WORKSPACE)
            await accounts.set_password(UserId(user.id), hash)
            record(accounts.session, "install.set_up", actor=UserId(user.id), target=user.id)
            begun = await desk.sessions.begin(accounts, user, "password")
        return await desk.sessions.given_out(begun)
