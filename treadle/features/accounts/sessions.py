"""Sessions: from signing in to signing out. Carried on with refresh tokens, each of which is good once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from treadle.base.circumstances import sender
from treadle.base.clock import Clock
from treadle.base.ids import SessionId, UserId
from treadle.features.accounts.access import Identity
from treadle.features.accounts.errors import (
    AccountDisabled,
    RefreshTokenUnknown,
    RefreshTokenUsed,
    SessionExpired,
    SessionGone,
)
from treadle.features.accounts.opaque import digest, new_token
from treadle.features.accounts.providers.provider import provider_name
from treadle.features.accounts.service import Accounts
from treadle.features.accounts.storage import AccountStorage
from treadle.features.accounts.tokens import ACCESS_SECONDS, TokenIssuer
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.models import AccountIdentity, SignIn, User
    from treadle.features.accounts.repository import AccountRepository

IDLE = timedelta(days=30)
"""A session that nobody has carried on for so long is over."""
SignOutScope = Literal["global", "local", "others"]
"""Which sessions signing out ends: all, this one, or all but this one."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with all the ways in which they prove who they are."""

    user: "User"
    identities: "Sequence[AccountIdentity]"
    new_email: str | None = None
    """The address that they will have once they confirm it."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session as the person gets it."""

    person: Person
    session: SessionId
    access_token: str
    expires_at: int
    """When the access token runs out, in seconds since 1970."""
    refresh_token: str
    expires_in: int = ACCESS_SECONDS


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that is good as soon as its transaction is committed."""

    person: Person
    row: "SignIn"
    refresh_token: str


class Sessions:
    """Begins, carries on and ends the sessions of an install."""

    def __init__(self, storage: AccountStorage, issuer: TokenIssuer, accounts: Accounts, clock: Clock) -> None:
        self.storage = storage
        self._issuer = issuer
        self._accounts = accounts
        self._clock = clock

    async def begin(self, accounts: "AccountRepository", user: "User", method: str) -> Begun:
        """A new session, with the transaction of ``accounts``; then ask for ``given_out``.

        Raises:
            AccountDisabled: an administrator has disabled the person.
        """
        if user.disabled_at is not None:
            raise AccountDisabled()
        where = sender.get()
        user.last_sign_in_at = self._clock.now()
        row = await accounts.add_session(UserId(user.id), method, where.address, where.agent)
        token = new_token()
        accounts.add_refresh_token(row.id, digest(token))
        record(accounts.session, "session.begun", actor=UserId(user.id), target=row.id, details={"method": method})
        return Begun(Person(user, await accounts.identities(UserId(user.id))), row, token)

    async def given_out(self, begun: Begun) -> SignedIn:
        """The session with an access token, once its transaction is committed."""
        session = SessionId(begun.row.id)
        token, expires_at = await self._issuer.issue(begun.person.user.id, session, _claims(begun))
        return SignedIn(begun.person, session, token, expires_at, begun.refresh_token)

    async def carry_on(self, token: str) -> SignedIn:
        """Exchange a refresh token for a new one and a new access token.

        A token that was used before has been copied, and nobody knows who of the two is the person: the session ends.

        Raises:
            RefreshTokenUnknown, RefreshTokenUsed, SessionExpired, AccountDisabled: the person must sign in again.
        """
        async with self.storage.repository() as accounts:
            found = await self._carried_on(accounts, digest(token))
        if isinstance(found, Begun):
            return await self.given_out(found)
        session, failure = found
        if session is not None:
            self._accounts.session_ended(session)
        raise failure

    async def _carried_on(
        self, accounts: "AccountRepository", hash: bytes
    ) -> Begun | tuple[SessionId | None, Exception]:
        """The session with its next token; or the session that ends by this, if one does, and what is wrong."""
        used = await accounts.refresh_token(hash)
        row = await accounts.sign_in(SessionId(used.session_id)) if used else None
        if used is None or row is None:
            return None, RefreshTokenUnknown()
        if row.ended_at is not None:
            return None, RefreshTokenUsed() if row.end_reason == "reuse" else SessionExpired()
        user = await accounts.person(UserId(row.user_id))
        if user.disabled_at is not None:
            return None, AccountDisabled()
        now = self._clock.now()
        if used.used_at is not None or row.refreshed_at < now - IDLE:
            reason = "reuse" if used.used_at is not None else "idle"
            await accounts.end_sessions(UserId(user.id), reason, only=SessionId(row.id))
            record(accounts.session, "session.ended", actor=UserId(user.id), target=row.id, details={"reason": reason})
            return SessionId(row.id), RefreshTokenUsed() if reason == "reuse" else SessionExpired()
        used.used_at = row.refreshed_at = now
        await accounts.session.flush()  # before the next one is added, of which there may be one
        token = new_token()
        accounts.add_refresh_token(row.id, digest(token))
        return Begun(Person(user, await accounts.identities(UserId(user.id))), row, token)

    async def end(self, identity: Identity, scope: SignOutScope) -> None:
        """Sign out.

        Raises:
            SessionGone: the session is not one of this install.
        """
        if identity.session is None:
            raise SessionGone()
        only = identity.session if scope == "local" else None
        but = identity.session if scope == "others" else None
        async with self.storage.repository() as accounts:
            ended = await self.end_all(accounts, identity.user, "signed out", only=only, but=but)
        self.told(ended)
        if not ended and scope != "others":
            raise SessionGone()

    async def end_all(
        self,
        accounts: "AccountRepository",
        user: UserId,
        reason: str,
        *,
        only: SessionId | None = None,
        but: SessionId | None = None,
        actor: UserId | None = None,
    ) -> list[SessionId]:
        """End a person's sessions, with the transaction of ``accounts``; then hand what it gives to ``told``."""
        ended = await accounts.end_sessions(user, reason, only=only, but=but)
        for session in ended:
            record(accounts.session, "session.ended", actor=actor or user, target=session, details={"reason": reason})
        return ended

    def told(self, ended: Sequence[SessionId]) -> None:
        """These have ended and the transaction is committed: here they are good for nothing from now on."""
        for session in ended:
            self._accounts.session_ended(session)


def _claims(begun: Begun) -> dict[str, Any]:
    user = begun.person.user
    return {
        "email": user.email or "",
        "phone": "",
        "app_metadata": provider_names(begun.person.identities),
        "user_metadata": user.profile,
        "aal": "aal1",
        "amr": [{"method": begun.row.method, "timestamp": int(begun.row.created_at.timestamp())}],
        "is_anonymous": False,
    }


def provider_names(identities: "Sequence[AccountIdentity]") -> dict[str, Any]:
    """By whom a person was told to be who they are, as clients expect it in ``app_metadata``."""
    names = list(dict.fromkeys(provider_name(each.issuer) for each in identities))
    return {"provider": names[0] if names else "email", "providers": names or ["email"]}
