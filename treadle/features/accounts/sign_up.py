"""Signing up: who may make an account, and how it comes to be."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from treadle.base.ids import UserId, uuid7
from treadle.features.accounts.addresses import EMAIL, normalised
from treadle.features.accounts.admission import Applicant
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.errors import UserExists
from treadle.features.accounts.links import Return
from treadle.features.accounts.opaque import digest
from treadle.features.accounts.passwords import checked
from treadle.features.accounts.profiles import INVITATION, checked_profile
from treadle.features.accounts.registration import Newcomer, register
from treadle.features.accounts.sessions import SignedIn
from treadle.features.accounts.throttle import MAIL_ACCOUNT, SIGN_UP_ADDRESS

if TYPE_CHECKING:
    from treadle.features.accounts.models import User
    from treadle.features.accounts.repository import AccountRepository


class SignUp:
    """How people without an account get one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def with_password(
        self, email: str, password: str, profile: Mapping[str, Any] | None, back: Return
    ) -> SignedIn | UserId:
        """Make an account. With mail there is only an id until the address is confirmed.

        It is confirmed already by an invitation that was mailed there. Else with mail the answer is the same for an
        address that has an account; its owner is told by mail.

        Raises:
            BadEmail, WeakPassword, ValidationFailed: what was given cannot be used.
            SignUpClosed: nobody may, or they were not invited.
            UserExists: the address has an account. Only told by an install that sends no mail.
            TooOften: from this place, or with this address.
        """
        desk = self._desk
        await desk.take_turn(SIGN_UP_ADDRESS)
        address = normalised(email)
        accepted = checked(password, address)
        said = checked_profile(profile)
        invitation = said.pop(INVITATION, None)
        held = digest(invitation) if isinstance(invitation, str) else None
        async with desk.storage.repository() as accounts:
            # With mail nobody has an account before the address is confirmed; without, an address proves nothing.
            await desk.admission.check(accounts, Applicant(address, desk.links.sends_mail, held))
            proven = await accounts.invitations.proves(address, held, desk.clock.now())
        hash = await desk.passwords.hashed(accepted)
        who = _Asked(UserId(uuid7()), address, hash, said, held)
        if desk.links.sends_mail and not proven:
            await desk.throttle.take(MAIL_ACCOUNT, address)
            desk.background.begin(self._ask_to_confirm(who, back), "mailing a confirmation")
            return who.id
        async with desk.storage.repository() as accounts:
            user = await self._registered(accounts, who, proven=proven)
            begun = await desk.sessions.begin(accounts, user, "password")
        return await desk.sessions.given_out(begun)

    async def _ask_to_confirm(self, who: "_Asked", back: Return) -> None:
        desk = self._desk
        token = None
        async with desk.storage.repository() as accounts:
            if await accounts.holder(who.email) is None:
                await accounts.void_sign_ups(who.email)
                token = await desk.links.make(accounts, "signup", None, {**who.details(), **back.details()})
        if token is None:
            await desk.links.tell_known(who.email)
        else:
            await desk.links.send("signup", who.email, token, back)

    async def resend(self, email: str, back: Return) -> None:
        """Mail the link of a sign-up once more, if there is one that waits for it. Nothing tells whether."""
        desk = self._desk
        address = normalised(email)
        await desk.take_turn(SIGN_UP_ADDRESS)
        await desk.throttle.take(MAIL_ACCOUNT, address)
        async with desk.storage.repository() as accounts:
            pending = await accounts.pending_sign_up(address, desk.clock.now())
        if pending is not None:
            desk.background.begin(self._ask_to_confirm(_asked(pending.details), back), "mailing a confirmation")

    async def confirm(self, accounts: "AccountRepository", details: Mapping[str, Any]) -> "User":
        """Make the account of a sign-up whose link came back, with the transaction of ``accounts``.

        Raises:
            UserExists: the address has got an account meanwhile.
            SignUpClosed: what let them in is no longer there.
        """
        return await self._registered(accounts, _asked(details), proven=True)

    async def _registered(self, accounts: "AccountRepository", who: "_Asked", *, proven: bool) -> "User":
        admission, applicant = self._desk.admission, Applicant(who.email, proven, who.invitation)
        await accounts.one_at_a_time(EMAIL, who.email)
        await admission.check(accounts, applicant)
        if await accounts.holder(who.email) is not None:
            raise UserExists()
        newcomer = Newcomer(
            EMAIL,
            who.email,
            who.email,
            proven=proven,
            confirmed_at=self._desk.clock.now(),
            profile=who.profile,
            id=who.id,
        )
        user = await register(accounts, newcomer)
        await accounts.set_password(who.id, who.hash)
        await admission.welcome(accounts, user, applicant)
        return user


class _Asked:
    """What an account will be made of."""

    def __init__(self, id: UserId, email: str, hash: str, profile: Mapping[str, Any], invitation: bytes | None) -> None:
        self.id = id
        self.email = email
        self.hash = hash
        """Of the password: whoever confirms the address does so for the password that came with this very link."""
        self.profile = profile
        self.invitation = invitation
        """The hash of the token of the invitation that they hold."""

    def details(self) -> dict[str, Any]:
        """For keeping it with a token."""
        return {
            "id": str(self.id),
            "email": self.email,
            "hash": self.hash,
            "profile": dict(self.profile),
            "invitation": self.invitation.hex() if self.invitation else None,
        }


def _asked(details: Mapping[str, Any]) -> _Asked:
    held = details.get("invitation")  # what was asked for before there were invitations has none
    invitation = bytes.fromhex(held) if held else None
    return _Asked(UserId(UUID(details["id"])), details["email"], details["hash"], details["profile"], invitation)
