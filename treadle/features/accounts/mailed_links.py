"""Links that come by mail, or from whoever runs the machine: asking for one, and coming back with it."""

from typing import TYPE_CHECKING

from treadle.base.errors import NotFound
from treadle.base.ids import UserId
from treadle.features.accounts.addresses import normalised
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.errors import LinkExpired, NoMail
from treadle.features.accounts.landing import with_session
from treadle.features.accounts.links import Kind, Purpose, Return, return_of
from treadle.features.accounts.opaque import digest
from treadle.features.accounts.sessions import Begun, SignedIn
from treadle.features.accounts.sign_in import SignIn
from treadle.features.accounts.sign_up import SignUp
from treadle.features.accounts.throttle import LINK_ADDRESS, MAIL_ACCOUNT, MAIL_ADDRESS
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.models import OneTimeToken, User
    from treadle.features.accounts.repository import AccountRepository

RESET_PAGE = "/reset-password"
"""Where a new password is chosen when no other page has asked for the link."""
_PURPOSES: dict[Kind, tuple[Purpose, ...]] = {
    "signup": ("signup",),
    "invite": ("signup",),
    "recovery": ("recovery",),
    "magiclink": ("magiclink",),
    "email_change": ("email_change",),
    "email": ("signup", "magiclink", "email_change"),
}


class MailedLinks:
    """How people come in with a link."""

    def __init__(self, desk: Desk, sign_in: SignIn, sign_up: SignUp) -> None:
        self._desk = desk
        self._sign_in = sign_in
        self._sign_up = sign_up

    async def ask(self, purpose: Purpose, email: str, back: Return) -> None:
        """Mail a link, if somebody has the address. Neither the answer nor its time tells whether.

        Raises:
            BadEmail: it is no address.
            NoMail: this install sends none.
            TooOften: to this address, or from this place.
        """
        desk = self._desk
        address = normalised(email)
        await desk.take_turn(MAIL_ADDRESS)
        await desk.throttle.take(MAIL_ACCOUNT, address)
        if not desk.links.sends_mail:
            raise NoMail()
        desk.background.begin(self._send(purpose, address, back), f"mailing a link ({purpose})")

    async def _send(self, purpose: Purpose, address: str, back: Return) -> None:
        async with self._desk.storage.repository() as accounts:
            user = await accounts.holder(address)
            if user is None:
                return
            token = await self._desk.links.make(accounts, purpose, user, {**back.details(), "mailed": True})
            record(accounts.session, f"{purpose}.asked", actor=None, target=user)
        await self._desk.links.send(purpose, address, token, back)

    async def make(self, email: str) -> str:
        """A link for a new password, to be handed over by whoever runs the machine.

        Raises:
            BadEmail, NotFound: nobody signs in with it.
        """
        desk = self._desk
        address = normalised(email)
        async with desk.storage.repository() as accounts:
            user = await accounts.holder(address)
            if user is None:
                raise NotFound(f"Nobody signs in with the address {address}.", fix="Look for a typing error.")
            token = await desk.links.make(accounts, "recovery", user, {})
            record(accounts.session, "recovery.made", actor=None, target=user)
        return f"{desk.landing.page(None, RESET_PAGE)}#token={token}"

    async def come_back(self, kind: Kind, token: str, email: str | None = None) -> SignedIn:
        """A session for whoever holds a link.

        Raises:
            LinkExpired: it is wrong, was used, has run out, or is not for this address.
            AccountDisabled: an administrator has disabled the account.
            TooOften: from this place.
        """
        await self._desk.take_turn(LINK_ADDRESS)
        async with self._desk.storage.repository() as accounts:
            _, user = await self._used(accounts, kind, token, email)
            begun = await self._desk.sessions.begin(accounts, user, "otp")
        return await self._desk.sessions.given_out(begun)

    async def come_back_in_browser(self, kind: Kind, token: str, page: str | None) -> str:
        """The page on which somebody lands who has opened a link. Raises as ``come_back``."""
        await self._desk.take_turn(LINK_ADDRESS)
        async with self._desk.storage.repository() as accounts:
            link, user = await self._used(accounts, kind, token, None)
            to = return_of(link.details)
            landed = await self._sign_in.back(accounts, user, Return(page or to.page, to.challenge), "otp")
        if not isinstance(landed, Begun):
            return landed
        signed_in = await self._desk.sessions.given_out(landed)
        otherwise = RESET_PAGE if link.purpose == "recovery" else "/"
        return with_session(self._desk.landing.page(page or to.page, otherwise), signed_in, link.purpose)

    async def _used(
        self, accounts: "AccountRepository", kind: Kind, token: str, email: str | None
    ) -> "tuple[OneTimeToken, User]":
        """The link, used up, and whose it is, after what it was for is done."""
        for purpose in _PURPOSES[kind]:
            link = await accounts.take_link(purpose, digest(token), self._desk.clock.now())
            if link is not None:
                break
        else:
            raise LinkExpired()
        user = await self._done(accounts, link)
        if email is not None and normalised(email) != (user.email or ""):
            raise LinkExpired()
        return link, user

    async def _done(self, accounts: "AccountRepository", link: "OneTimeToken") -> "User":
        if link.user_id is None:
            return await self._sign_up.confirm(accounts, link.details)
        user = await accounts.user(UserId(link.user_id))
        assert user is not None  # people are not deleted
        if link.purpose == "email_change":
            await accounts.change_email(user, str(link.details["email"]))
        if link.details.get("mailed"):
            user.email_proven = True
            user.email_confirmed_at = user.email_confirmed_at or self._desk.clock.now()
        return user
