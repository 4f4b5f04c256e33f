"""People in the database, as administrators see them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import OPERATOR, UserId
from treadle.base.paging import Page
from treadle.features.accounts.access import Role
from treadle.features.accounts.directory import Sought
from treadle.features.accounts.invitation_repository import InvitationRepository
from treadle.features.accounts.models import AccountIdentity, ApiKey, Member, SignIn, User, Workspace
from treadle.features.accounts.workspace_repository import Part


@dataclass(frozen=True, slots=True)
class Listed:
    """Somebody, and by whom they were told to be who they are: ``email``, ``github``, an address."""

    user: User
    issuers: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Belongings:
    """What somebody has."""

    parts: list[Part]
    sessions: int
    """That are open."""
    keys: int
    """Of the external API, that are not revoked."""


class LastAdministratorLeft(Exception):
    """The database refuses it: the install would have no administrator."""


class DirectoryRepository:
    """Reads and changes people, within one transaction. The machine's own person is none of them."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.invitations = InvitationRepository(session)

    async def page(self, sought: Sought, page: Page) -> tuple[list[Listed], int]:
        """A page of people, the newest first, and how many there are."""
        wanted = [User.id != OPERATOR, *_conditions(sought)]
        total = await self.session.scalar(select(func.count()).select_from(User).where(*wanted)) or 0
        query = select(User).where(*wanted).order_by(User.id.desc()).limit(page.size).offset(page.offset)
        return await self._listed(list(await self.session.scalars(query))), total

    async def get(self, id: UserId, *, locked: bool = False) -> Listed | None:
        """Somebody; ``locked`` against other changes."""
        # Not their key: what somebody does about another at the same moment refers to it.
        lock = {"key_share": True} if locked else None
        user = await self.session.get(User, id, with_for_update=lock) if id != OPERATOR else None
        return None if user is None else (await self._listed([user]))[0]

    async def belongings(self, id: UserId) -> Belongings:
        """What somebody has; of their workspaces the first hundred."""
        parts = select(Workspace, Member.role).join(Member, Member.workspace_id == Workspace.id)
        parts = parts.where(Member.user_id == id, Workspace.deleted_at.is_(None)).order_by(Member.created_at).limit(100)
        sessions = select(func.count()).select_from(SignIn).where(SignIn.user_id == id, SignIn.ended_at.is_(None))
        keys = select(func.count()).select_from(ApiKey).where(ApiKey.user_id == id, ApiKey.revoked_at.is_(None))
        return Belongings(
            [Part(row[0], Role(row[1])) for row in await self.session.execute(parts)],
            await self.session.scalar(sessions) or 0,
            await self.session.scalar(keys) or 0,
        )

    async def set(self, user: User, *, disabled_at: datetime | None, admin: bool) -> None:
        """Change what an administrator decides. Raises ``LastAdministratorLeft``."""
        user.disabled_at, user.admin = disabled_at, admin
        try:
            await self.session.flush()
        except IntegrityError as error:
            refusal = error.orig.__cause__ if error.orig else None
            if getattr(refusal, "constraint_name", None) == "users_keep_an_admin":
                raise LastAdministratorLeft() from None
            raise

    async def named(self, ids: Iterable[UUID]) -> dict[UUID, User]:
        """People by their ids, the machine's own among them."""
        query = select(User).where(User.id.in_(set(ids)))
        return {each.id: each for each in await self.session.scalars(query)}

    async def _listed(self, users: list[User]) -> list[Listed]:
        query = select(AccountIdentity.user_id, AccountIdentity.issuer).order_by(AccountIdentity.id)
        found: dict[UUID, list[str]] = {}
        for id, issuer in await self.session.execute(query.where(AccountIdentity.user_id.in_([u.id for u in users]))):
            found.setdefault(id, []).append(issuer)
        return [Listed(each, found.get(each.id, [])) for each in users]


def _conditions(sought: Sought) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if sought.text:
        text = sought.text.lower()
        name = User.profile["name"].astext
        wanted.append(
            or_(
                func.lower(User.email).contains(text, autoescape=True), func.lower(name).contains(text, autoescape=True)
            )
        )
    if sought.disabled is not None:
        wanted.append(User.disabled_at.is_not(None) if sought.disabled else User.disabled_at.is_(None))
    if sought.admin is not None:
        wanted.append(User.admin.is_(sought.admin))
    return wanted
