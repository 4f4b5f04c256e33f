"""Accounts in the database: people, how they sign in, their sessions. Through the role that alone may see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.crypto import HOLD_KEYS, key_id
from treadle.base.ids import SessionId, UserId, WorkspaceId, uuid7
from treadle.features.accounts.addresses import EMAIL
from treadle.features.accounts.errors import EmailTaken
from treadle.features.accounts.invitation_repository import InvitationRepository
from treadle.features.accounts.models import (
    AccountIdentity,
    Member,
    OneTimeToken,
    Password,
    RefreshToken,
    SignIn,
    SigningKeyRow,
    User,
    Workspace,
)


class AccountRepository:
    """Reads and changes accounts, within one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.invitations = InvitationRepository(session)

    # ---- people -------------------------------------------------------------------------------------------------

    async def person(self, id: UserId) -> User:
        """A person who is known to be there."""
        return await self.session.get_one(User, id)

    async def user(self, id: UserId) -> User | None:
        """The person, locked against other changes."""
        return await self.session.get(User, id, with_for_update=True)

    async def one_at_a_time(self, issuer: str, subject: str) -> None:
        """Let nobody else look for or add this name before the transaction ends."""
        key = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 1))")
        await self.session.execute(key, {"key": f"{issuer}|{subject}"})

    async def identity(self, issuer: str, subject: str) -> AccountIdentity | None:
        """Whoever is known under this name at that issuer."""
        query = select(AccountIdentity).where(AccountIdentity.issuer == issuer, AccountIdentity.subject == subject)
        return await self.session.scalar(query)

    async def identities(self, user: UserId) -> Sequence[AccountIdentity]:
        """All ways in which a person proves who they are, the oldest first."""
        query = select(AccountIdentity).where(AccountIdentity.user_id == user).order_by(AccountIdentity.id)
        return (await self.session.scalars(query)).all()

    async def add_user(self, **about: Any) -> User:
        """Add a person."""
        user = User(**about)
        self.session.add(user)
        await self.session.flush()  # what follows refers to it
        return user

    def add_identity(self, user: User, issuer: str, subject: str, email: str | None, profile: dict[str, Any]) -> None:
        """Add a way in which the person proves who they are."""
        self.session.add(
            AccountIdentity(id=uuid7(), user_id=user.id, issuer=issuer, subject=subject, email=email, profile=profile)
        )

    async def remove_identity(self, identity: AccountIdentity) -> None:
        """Take a way away in which a person proves who they are; the password with the address."""
        await self.session.delete(identity)
        if identity.issuer == EMAIL:
            await self.session.execute(delete(Password).where(Password.user_id == identity.user_id))

    async def proven(self, email: str) -> User | None:
        """Whose the address is known to be; None when that is nobody's, or of several."""
        query = select(User).where(func.lower(User.email) == email, User.email_proven).limit(2)
        found = (await self.session.scalars(query)).all()
        return found[0] if len(found) == 1 else None

    async def holder(self, email: str) -> UserId | None:
        """Whose account an address leads to: whoever signs in with it, or else whose it is known to be."""
        known = await self.identity(EMAIL, email)
        if known is not None:
            return UserId(known.user_id)
        found = await self.proven(email)
        return None if found is None else UserId(found.id)

    async def seen_again(self, issuer: str, subject: str, email: str | None, profile: dict[str, Any]) -> None:
        """Somebody who is known under this name has just come in, and this is what the issuer says of them now."""
        change = update(AccountIdentity).where(AccountIdentity.issuer == issuer, AccountIdentity.subject == subject)
        change = change.values(email=email, profile=profile, last_sign_in_at=func.now())
        await self.session.execute(change.execution_options(synchronize_session="fetch"))

    async def owns_email(self, user: UserId, email: str) -> bool:
        """Whether the person signs in with this address, or does from now on because nobody did before."""
        known = await self.identity(EMAIL, email)
        if known is None:
            await self.one_at_a_time(EMAIL, email)
            self.add_identity(await self.person(user), EMAIL, email, email, {})
            await self.session.flush()
        return known is None or known.user_id == user

    async def change_email(self, user: User, email: str) -> None:
        """Let the person sign in with another address.

        Raises:
            EmailTaken: somebody else does.
        """
        await self.one_at_a_time(EMAIL, email)
        known = await self.identity(EMAIL, email)
        if known is not None and known.user_id != user.id:
            raise EmailTaken()
        change = update(AccountIdentity).where(AccountIdentity.user_id == user.id, AccountIdentity.issuer == EMAIL)
        await self.session.execute(
            change.values(subject=email, email=email).execution_options(synchronize_session="fetch")
        )
        user.email = email

    async def password(self, user: UserId) -> Password | None:
        """The hash of their password."""
        return await self.session.get(Password, user)

    async def set_password(self, user: UserId, hash: str) -> None:
        """Put a password's hash in place of what was there."""
        row = await self.password(user)
        if row is None:
            self.session.add(Password(user_id=user, hash=hash))
        else:
            row.hash = hash
            row.changed_at = func.now()

    async def has_administrator(self) -> bool:
        """Whether anybody administers the install."""
        return await self.session.scalar(select(User.id).where(User.admin).limit(1)) is not None

    # ---- sessions -----------------------------------------------------------------------------------------------

    async def standing(self, session: SessionId) -> tuple[UserId, bool] | None:
        """Whose session it is and whether they are an administrator; None when it has ended or they are disabled."""
        query = (
            select(User.id, User.admin)
            .join(SignIn, SignIn.user_id == User.id)
            .where(SignIn.id == session, SignIn.ended_at.is_(None), User.disabled_at.is_(None))
        )
        row = (await self.session.execute(query)).one_or_none()
        return None if row is None else (UserId(row[0]), row[1])

    async def add_session(self, user: UserId, method: str, address: str, agent: str) -> SignIn:
        """Begin a session."""
        row = SignIn(id=uuid7(), user_id=user, method=method, address=address, agent=agent[:300])
        self.session.add(row)
        await self.session.flush()
        return row

    async def sign_in(self, id: SessionId) -> SignIn | None:
        """The session, locked against other changes."""
        return await self.session.get(SignIn, id, with_for_update=True)

    async def end_sessions(
        self, user: UserId, reason: str, *, only: SessionId | None = None, but: SessionId | None = None
    ) -> list[SessionId]:
        """End a person's open sessions: all of them, ``only`` one, or all ``but`` one. Gives those that ended."""
        change = update(SignIn).where(SignIn.user_id == user, SignIn.ended_at.is_(None))
        if only is not None:
            change = change.where(SignIn.id == only)
        if but is not None:
            change = change.where(SignIn.id != but)
        change = change.values(ended_at=func.now(), end_reason=reason).execution_options(synchronize_session=False)
        return [SessionId(id) for id in await self.session.scalars(change.returning(SignIn.id))]

    async def ended_of(self, sessions: Sequence[SessionId]) -> list[SessionId]:
        """Those of the sessions that have ended."""
        query = select(SignIn.id).where(SignIn.id.in_(sessions), SignIn.ended_at.is_not(None))
        return [SessionId(id) for id in await self.session.scalars(query)]

    async def refresh_token(self, hash: bytes) -> RefreshToken | None:
        """The refresh token, used or not, locked against other changes."""
        return await self.session.get(RefreshToken, hash, with_for_update=True)

    def add_refresh_token(self, session: UUID, hash: bytes) -> None:
        """Add what the session is carried on with. There must be none that is not used."""
        self.session.add(RefreshToken(hash=hash, session_id=session))

    # ---- links --------------------------------------------------------------------------------------------------

    async def add_link(
        self, purpose: str, hash: bytes, expires_at: datetime, user: UserId | None, details: dict[str, Any]
    ) -> None:
        """Add a token that is good once. Older ones of the same person and purpose are good no more.

        But for codes: each is for another client, and somebody may sign in on two devices at once.
        """
        if purpose != "code":
            await self.void_links(purpose, user)
        self.session.add(OneTimeToken(hash=hash, purpose=purpose, user_id=user, details=details, expires_at=expires_at))

    async def void_links(self, purpose: str, user: UserId | None) -> None:
        """Nothing of a person that was given out for this purpose is good any more."""
        if user is None and purpose != "setup":
            return
        change = update(OneTimeToken).where(
            OneTimeToken.purpose == purpose,
            OneTimeToken.user_id.is_not_distinct_from(user),
            OneTimeToken.used_at.is_(None),
        )
        await self.session.execute(change.values(used_at=func.now()).execution_options(synchronize_session=False))

    async def link(self, purpose: str, hash: bytes) -> OneTimeToken | None:
        """A token, whether it is still good or not, locked against other changes."""
        found = await self.session.get(OneTimeToken, hash, with_for_update=True)
        return found if found is not None and found.purpose == purpose else None

    async def wanted_email(self, user: UserId, now: datetime) -> str | None:
        """The address that a person has still to confirm."""
        query = select(OneTimeToken.details["email"].astext).where(
            OneTimeToken.purpose == "email_change",
            OneTimeToken.user_id == user,
            OneTimeToken.used_at.is_(None),
            OneTimeToken.expires_at > now,
        )
        return await self.session.scalar(query.limit(1))

    async def who_wants_email(self, email: str, now: datetime) -> UserId | None:
        """Who has still to confirm this address."""
        query = select(OneTimeToken.user_id).where(
            OneTimeToken.purpose == "email_change",
            OneTimeToken.details["email"].astext == email,
            OneTimeToken.used_at.is_(None),
            OneTimeToken.expires_at > now,
        )
        found = await self.session.scalar(query.order_by(OneTimeToken.created_at.desc()).limit(1))
        return None if found is None else UserId(found)

    async def void_sign_ups(self, email: str) -> None:
        """No sign-up with this address that waits for its confirmation can be confirmed any more."""
        change = update(OneTimeToken).where(
            OneTimeToken.purpose == "signup",
            OneTimeToken.details["email"].astext == email,
            OneTimeToken.used_at.is_(None),
        )
        await self.session.execute(change.values(used_at=func.now()).execution_options(synchronize_session=False))

    async def pending_sign_up(self, email: str, now: datetime) -> OneTimeToken | None:
        """The newest sign-up with this address that waits for its confirmation."""
        query = select(OneTimeToken).where(
            OneTimeToken.purpose == "signup",
            OneTimeToken.details["email"].astext == email,
            OneTimeToken.used_at.is_(None),
            OneTimeToken.expires_at > now,
        )
        return await self.session.scalar(query.order_by(OneTimeToken.created_at.desc()).limit(1))

    async def take_link(self, purpose: str, hash: bytes, now: datetime) -> OneTimeToken | None:
        """Use a token up; None when there is none that is still good. Of two who try at once one gets it."""
        change = (
            update(OneTimeToken)
            .where(
                OneTimeToken.hash == hash,
                OneTimeToken.purpose == purpose,
                OneTimeToken.used_at.is_(None),
                OneTimeToken.expires_at > now,
            )
            .values(used_at=now)
            .returning(OneTimeToken)
            .execution_options(synchronize_session=False)
        )
        return await self.session.scalar(change)

    # ---- tries --------------------------------------------------------------------------------------------------

    async def take_try(self, key: bytes, burst: int, per_second: float) -> float:
        """Count one more try; the seconds to wait for the next one when there is none left, else 0."""
        take = text("SELECT throttles_take_v1(:key, :burst, :per_second)")
        wait = await self.session.scalar(take, {"key": key, "burst": float(burst), "per_second": per_second})
        return float(wait or 0)

    async def give_try_back(self, key: bytes, burst: int) -> None:
        """Take one try off the count."""
        change = text("UPDATE throttles SET level = least(:burst, level + 1) WHERE key = :key")
        await self.session.execute(change, {"key": key, "burst": float(burst)})

    # ---- signing keys -------------------------------------------------------------------------------------------

    async def signing_keys(self, retired_after: datetime) -> list[SigningKeyRow]:
        """Keys that are not retired or were only since then, the newest first."""
        still_good = or_(SigningKeyRow.retired_at.is_(None), SigningKeyRow.retired_at > retired_after)
        query = select(SigningKeyRow).where(still_good).order_by(SigningKeyRow.created_at.desc(), SigningKeyRow.id)
        return list(await self.session.scalars(query))

    async def hold_keys(self) -> None:
        """Let no key that encrypts be dropped before the transaction ends."""
        await self.session.execute(text(HOLD_KEYS))

    async def add_signing_key(self, id: str, public_key: dict[str, Any], ciphertext: bytes) -> None:
        """Add a key; it is the newest."""
        self.session.add(SigningKeyRow(id=id, public_key=public_key, ciphertext=ciphertext, key_id=key_id(ciphertext)))

    async def retire_signing_keys(self, ids: Sequence[str], now: datetime) -> None:
        """Let these sign no more."""
        change = update(SigningKeyRow).where(SigningKeyRow.id.in_(ids), SigningKeyRow.retired_at.is_(None))
        await self.session.execute(change.values(retired_at=now))

    # ---- parts in workspaces ------------------------------------------------------------------------------------

    async def role(self, user: UserId, workspace: WorkspaceId | None) -> tuple[WorkspaceId, str] | None:
        """The person's part in a workspace, their own unless another is named; None when they have none."""
        which = Workspace.personal_of == user if workspace is None else Workspace.id == workspace
        query = (
            select(Workspace.id, Member.role)
            .join(Member, Member.workspace_id == Workspace.id)
            .where(which, Workspace.deleted_at.is_(None), Member.user_id == user)
        )
        row = (await self.session.execute(query)).one_or_none()
        return None if row is None else (WorkspaceId(row[0]), row[1])

    async def is_member(self, workspace: WorkspaceId, email: str) -> bool:
        """Whether somebody with this address is a member."""
        query = select(Member.user_id).join(User, User.id == Member.user_id)
        query = query.where(Member.workspace_id == workspace, func.lower(User.email) == email)
        return await self.session.scalar(query.limit(1)) is not None

    async def add_workspace(self, name: str, owner: UserId, *, personal: bool) -> Workspace:
        """Add a workspace with its owner."""
        row = Workspace(id=uuid7(), name=name, personal_of=owner if personal else None)
        self.session.add(row)
        await self.session.flush()
        self.add_member(row.id, owner, "owner")
        return row

    async def give_workspace(self, workspace: WorkspaceId, owner: UserId) -> bool:
        """Make a workspace that is nobody's a person's own; False when it is somebody's."""
        change = update(Workspace).where(Workspace.id == workspace, Workspace.personal_of.is_(None))
        change = change.values(personal_of=owner).returning(Workspace.id).execution_options(synchronize_session=False)
        if await self.session.scalar(change) is None:
            return False
        self.add_member(workspace, owner, "owner")
        return True

    def add_member(self, workspace: UUID, user: UserId, role: str) -> None:
        """Make somebody a member."""
        self.session.add(Member(workspace_id=workspace, user_id=user, role=role))
