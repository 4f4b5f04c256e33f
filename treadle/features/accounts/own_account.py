"""What people change about their own account: address, password, what they say of themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from treadle.base.ids import OPERATOR, SessionId, UserId
from treadle.features.accounts.access import Identity
from treadle.features.accounts.addresses import EMAIL, normalised
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.errors import (
    EmailTaken,
    IdentityUnknown,
    InvalidCredentials,
    LastIdentity,
    SamePassword,
    ValidationFailed,
)
from treadle.features.accounts.links import Return
from treadle.features.accounts.passwords import checked
from treadle.features.accounts.profiles import merged
from treadle.features.accounts.sessions import Person
from treadle.features.accounts.throttle import MAIL_ACCOUNT, MAIL_ADDRESS, SIGN_IN_ACCOUNT
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.models import User
    from treadle.features.accounts.repository import AccountRepository


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to change; None leaves it as it is."""

    email: str | None = None
    password: str | None = None
    old_password: str | None = None
    """When it is given it must be the right one."""
    profile: Mapping[str, Any] | None = None


class OwnAccount:
    """Somebody's own account."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def get(self, identity: Identity) -> Person:
        """The account of whoever is signed in."""
        async with self._desk.storage.repository() as accounts:
            return await self._person(accounts, await accounts.person(identity.user))

    async def change(self, identity: Identity, changes: Changes, back: Return) -> Person:
        """Change it. A new password ends all other sessions. A new address counts once it is confirmed, if it can be.

        Raises:
            BadEmail, WeakPassword, SamePassword, ValidationFailed: what was given cannot be used.
            InvalidCredentials: the old password is wrong.
            EmailTaken: somebody else has the address.
            TooOften: a mail to this address, or a guess of the old password.
        """
        address = normalised(changes.email) if changes.email is not None else None
        hash = await self._new_hash(identity, changes, address) if changes.password is not None else None
        async with self._desk.storage.repository() as accounts:
            user = await accounts.person(identity.user)
            if (address is not None or hash is not None) and not await _is_ours(accounts, user):
                raise ValidationFailed("Address and password are kept elsewhere.", fix="Change them where you sign in.")
            if changes.profile is not None:
                user.profile = merged(user.profile, changes.profile)
            if hash is not None:
                ended = await self._set_password(accounts, identity, user, hash)
            if address is not None and address != user.email:
                await self._set_email(accounts, user, address, back)
            await accounts.session.flush()
            person = await self._person(accounts, user)
        if hash is not None:
            self._desk.sessions.told(ended)
        return person

    async def _new_hash(self, identity: Identity, changes: Changes, address: str | None) -> str:
        desk = self._desk
        assert changes.password is not None
        async with desk.storage.repository() as accounts:
            user = await accounts.person(identity.user)
            before = await accounts.password(identity.user)
        accepted = checked(changes.password, address or user.email or "")
        known = before.hash if before else None
        if changes.old_password is not None:
            await desk.throttle.take(SIGN_IN_ACCOUNT, user.email or str(user.id))
            if not await desk.passwords.fits(changes.old_password, known):
                raise InvalidCredentials()
        if known is not None and await desk.passwords.fits(accepted, known):
            raise SamePassword()
        return await desk.passwords.hashed(accepted)

    async def _set_password(
        self, accounts: "AccountRepository", identity: Identity, user: "User", hash: str
    ) -> list[SessionId]:
        known = await accounts.identity(EMAIL, user.email or "")
        if known is None and self._desk.links.sends_mail and not user.email_proven:
            raise ValidationFailed("The address is not confirmed.", fix="Confirm it, then choose a password.")
        if user.email is None or not await accounts.owns_email(identity.user, user.email):
            raise EmailTaken()
        await accounts.set_password(identity.user, hash)
        await accounts.void_links("recovery", identity.user)
        record(accounts.session, "password.changed", actor=identity.user, target=identity.user)
        return await self._desk.sessions.end_all(accounts, identity.user, "password changed", but=identity.session)

    async def _set_email(self, accounts: "AccountRepository", user: "User", address: str, back: Return) -> None:
        desk = self._desk
        if await accounts.holder(address) not in (None, UserId(user.id)):
            raise EmailTaken()
        if not desk.links.sends_mail:
            await accounts.change_email(user, address)
            user.email_proven = False
            record(accounts.session, "email.changed", actor=UserId(user.id), target=user.id)
            return
        await desk.throttle.take(MAIL_ACCOUNT, address)
        details = {**back.details(), "email": address, "mailed": True}
        token = await desk.links.make(accounts, "email_change", UserId(user.id), details)
        record(accounts.session, "email.asked", actor=UserId(user.id), target=user.id)
        desk.background.begin(desk.links.send("email_change", address, token, back), "mailing a confirmation")

    async def resend(self, email: str, back: Return) -> None:
        """Mail the link for a new address once more, if somebody waits for it. Nothing tells whether.

        Raises:
            BadEmail: it is no address.
            TooOften: to this address, or from this place.
        """
        desk = self._desk
        address = normalised(email)
        await desk.take_turn(MAIL_ADDRESS)
        await desk.throttle.take(MAIL_ACCOUNT, address)
        desk.background.begin(self._resend(address, back), "mailing a confirmation")

    async def _resend(self, address: str, back: Return) -> None:
        desk = self._desk
        async with desk.storage.repository() as accounts:
            waiting = await accounts.who_wants_email(address, desk.clock.now())
            if waiting is None:
                return
            details = {**back.details(), "email": address, "mailed": True}
            token = await desk.links.make(accounts, "email_change", waiting, details)
        await desk.links.send("email_change", address, token, back)

    async def unlink(self, identity: Identity, id: UUID) -> None:
        """Take a way of coming in away. The password goes with the address that one signs in with.

        Raises:
            IdentityUnknown: the person has none of this id.
            LastIdentity: it is the only one.
        """
        async with self._desk.storage.repository() as accounts:
            await accounts.user(identity.user)  # two at once must not each leave the other
            there = await accounts.identities(identity.user)
            gone = next((each for each in there if each.id == id), None)
            if gone is None:
                raise IdentityUnknown()
            if len(there) < 2:
                raise LastIdentity()
            issuer = gone.issuer
            await accounts.remove_identity(gone)
            record(
                accounts.session,
                "identity.unlinked",
                actor=identity.user,
                target=identity.user,
                details={"issuer": issuer},
            )

    async def _person(self, accounts: "AccountRepository", user: "User") -> Person:
        id = UserId(user.id)
        wanted = await accounts.wanted_email(id, self._desk.clock.now())
        return Person(user, await accounts.identities(id), wanted)


async def _is_ours(accounts: "AccountRepository", user: "User") -> bool:
    """Whether the person signs in here; not the operator, and not somebody of another installation."""
    found = await accounts.identities(UserId(user.id))
    return user.id != OPERATOR and not any("://" in each.issuer for each in found)
