"""Signing in: with a password, or with the code of a redirect that has ended."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from treadle.base.ids import SessionId, UserId
from treadle.features.accounts.addresses import EMAIL, normalised
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.errors import (
    AccountDisabled,
    BadEmail,
    BadVerifier,
    EmailNotConfirmed,
    FlowNotFound,
    IdentityTaken,
    InvalidCredentials,
)
from treadle.features.accounts.landing import with_query
from treadle.features.accounts.links import Return, return_of
from treadle.features.accounts.opaque import digest
from treadle.features.accounts.sessions import Begun, SignedIn
from treadle.features.accounts.throttle import LINK_ADDRESS, SIGN_IN_ACCOUNT, SIGN_IN_ADDRESS
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.models import User
    from treadle.features.accounts.repository import AccountRepository


class SignIn:
    """How people with an account come in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def with_password(self, email: str, password: str) -> SignedIn:
        """Sign in. Whether the address or the password was wrong is not told, neither in words nor in time.

        Raises:
            InvalidCredentials: one of them is wrong.
            EmailNotConfirmed: both are right, and the sign-up was not confirmed yet.
            AccountDisabled: both are right, and an administrator has disabled the account.
            TooOften: with this address, or from this place.
        """
        desk = self._desk
        address = _address(email)
        await desk.take_turn(SIGN_IN_ADDRESS)
        await desk.throttle.take(SIGN_IN_ACCOUNT, address)
        async with desk.storage.repository() as accounts:
            known, hash = await self._found(accounts, address)
        if not await desk.passwords.fits(password, hash):
            async with desk.storage.repository() as accounts:
                record(accounts.session, "session.refused", actor=None, target=known or "")
            raise InvalidCredentials()
        if known is None:
            raise EmailNotConfirmed()
        async with desk.storage.repository() as accounts:
            begun = await desk.sessions.begin(accounts, await accounts.person(known), "password")
        await desk.give_turn_back(SIGN_IN_ADDRESS)
        await desk.throttle.give_back(SIGN_IN_ACCOUNT, address)
        return await desk.sessions.given_out(begun)

    async def _found(self, accounts: "AccountRepository", address: str) -> tuple[UserId | None, str | None]:
        """Who has the address, None while they have yet to confirm it, and the hash of their password."""
        identity = await accounts.identity(EMAIL, address)
        if identity is None:
            pending = await accounts.pending_sign_up(address, self._desk.clock.now())
            return None, pending.details["hash"] if pending else None
        password = await accounts.password(UserId(identity.user_id))
        return UserId(identity.user_id), password.hash if password else None

    async def with_code(self, code: str, verifier: str) -> SignedIn:
        """Exchange the code of a redirect that has ended for a session.

        Raises:
            FlowNotFound: it is wrong or has run out; or was used, and then the session that was begun with it ends.
            BadVerifier: somebody else had asked for it.
            IdentityTaken: it was to add a way of coming in that is somebody's already.
        """
        desk = self._desk
        await desk.take_turn(LINK_ADDRESS)
        async with desk.storage.repository() as accounts:
            found = await self._exchanged(accounts, code, verifier)
        if isinstance(found, Begun):
            await desk.give_turn_back(LINK_ADDRESS)
            return await desk.sessions.given_out(found)
        desk.sessions.told(found)
        raise FlowNotFound()

    async def _exchanged(self, accounts: "AccountRepository", code: str, verifier: str) -> Begun | list[SessionId]:
        """The session; or those that end because their code is used again."""
        link = await accounts.link("code", digest(code))
        if link is None or link.user_id is None or link.expires_at <= self._desk.clock.now():
            return []
        user = await accounts.person(UserId(link.user_id))
        if link.used_at is not None:
            only = SessionId(UUID(link.details["session"]))
            return await self._desk.sessions.end_all(accounts, UserId(user.id), "reuse", only=only)
        challenge = return_of(link.details).challenge
        if challenge is None or not challenge.is_met_by(verifier):
            raise BadVerifier()
        if "link" in link.details:
            await _link(accounts, user, link.details["link"])
        begun = await self._desk.sessions.begin(accounts, user, str(link.details["method"]))
        link.used_at = self._desk.clock.now()
        link.details = {**link.details, "session": str(begun.row.id)}
        return begun

    async def back(self, accounts: "AccountRepository", user: "User", to: Return, method: str) -> str | Begun:
        """How somebody goes on who has proved by a redirect who they are, with the transaction of ``accounts``.

        Their page with a code for whoever has begun the redirect; or, when nobody can show that, a session.

        Raises:
            AccountDisabled: an administrator has disabled the account.
        """
        if to.challenge is None:
            return await self._desk.sessions.begin(accounts, user, method)
        if user.disabled_at is not None:
            raise AccountDisabled()
        details = {**to.details(), "method": method}
        code = await self._desk.links.make(accounts, "code", UserId(user.id), details)
        return with_query(self._desk.landing.page(to.page), {"code": code})


async def _link(accounts: "AccountRepository", user: "User", link: Mapping[str, Any]) -> None:
    """One more way of coming in, asked for in a session that must still be open."""
    standing = await accounts.standing(SessionId(UUID(link["session"])))
    if standing is None or standing[0] != user.id:
        raise FlowNotFound()
    issuer, subject, email = link["issuer"], link["subject"], link["email"]
    await accounts.one_at_a_time(issuer, subject)
    if await accounts.identity(issuer, subject) is not None:
        raise IdentityTaken()
    accounts.add_identity(user, issuer, subject, email, link["claims"])
    if email is not None and email == user.email and await accounts.proven(email) is None:
        user.email_proven = True
    record(accounts.session, "identity.linked", actor=UserId(user.id), target=user.id, details={"issuer": issuer})


def _address(email: str) -> str:
    """What is no address is nobody's, and takes as long."""
    try:
        return normalised(email)
    except BadEmail:
        return ""
