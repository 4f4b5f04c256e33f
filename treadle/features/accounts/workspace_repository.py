"""Workspaces, members and invitations in the database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, delete, false, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import TypedReturnsRows

from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, UserId, WorkspaceId, uuid7
from treadle.base.paging import Page
from treadle.features.accounts.access import Role
from treadle.features.accounts.invitation_repository import InvitationRepository
from treadle.features.accounts.models import Member, User, Workspace


@dataclass(frozen=True, slots=True)
class Part:
    """A workspace, and what part somebody has in it."""

    workspace: Workspace
    role: Role


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member with who they are."""

    user: User
    role: Role
    since: datetime


@dataclass(frozen=True, slots=True)
class Deleted:
    """A workspace that was deleted, and until when it is kept."""

    workspace: Workspace
    until: datetime


class LastOwnerLeft(Exception):
    """The database refuses it: the workspace would have no owner."""


class WorkspaceRepository:
    """Reads and changes workspaces, within one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.invitations = InvitationRepository(session)

    async def parts(self, user: UserId, page: Page) -> tuple[list[Part], int]:
        """A page of a person's workspaces, their own first, and how many there are."""
        # Whoever holds the machine is in the local workspace without being a member.
        at_home = Workspace.id == LOCAL_WORKSPACE if user == OPERATOR else false()
        query = (
            select(Workspace, func.coalesce(Member.role, str(Role.OWNER)))
            .outerjoin(Member, (Member.workspace_id == Workspace.id) & (Member.user_id == user))
            .where(or_(Member.user_id.is_not(None), at_home), Workspace.deleted_at.is_(None))
        )
        own_first = (Workspace.personal_of.is_not_distinct_from(user).desc(), func.lower(Workspace.name), Workspace.id)
        rows = await self.session.execute(query.order_by(*own_first).limit(page.size).offset(page.offset))
        return [Part(row[0], Role(row[1])) for row in rows], await self._count(query)

    async def get(self, workspace: WorkspaceId) -> Workspace | None:
        """The workspace, unless it was deleted."""
        return await self.session.scalar(
            select(Workspace).where(Workspace.id == workspace, Workspace.deleted_at.is_(None))
        )

    async def add(self, name: str, owner: UserId) -> Workspace:
        """A new workspace with its owner."""
        row = Workspace(id=uuid7(), name=name)
        self.session.add(row)
        await self.session.flush()  # the member refers to it
        self.session.add(Member(workspace_id=row.id, user_id=owner, role=Role.OWNER))
        return row

    async def rename(self, workspace: WorkspaceId, name: str) -> bool:
        """Give it another name; False when it is not there."""
        change = update(Workspace).where(Workspace.id == workspace, Workspace.deleted_at.is_(None))
        return await self._changed(change.values(name=name).returning(Workspace.id))

    async def delete(self, workspace: WorkspaceId) -> bool:
        """Let nobody in any more; False when it is not there, somebody's own, or the machine's."""
        which = (Workspace.id == workspace, Workspace.deleted_at.is_(None), Workspace.personal_of.is_(None))
        change = update(Workspace).where(*which, Workspace.id != LOCAL_WORKSPACE).values(deleted_at=func.now())
        return await self._changed(change.returning(Workspace.id))

    async def deleted(self, kept: timedelta, page: Page) -> tuple[list[Deleted], int]:
        """A page of those that were deleted less than ``kept`` ago, the latest first, and how many there are."""
        query = select(Workspace).where(*_restorable(kept))
        total = await self.session.scalar(select(func.count()).select_from(query.subquery())) or 0
        ordered = query.order_by(Workspace.deleted_at.desc(), Workspace.id).limit(page.size).offset(page.offset)
        return [_deleted(each, kept) for each in await self.session.scalars(ordered)], total

    async def restore(self, workspace: WorkspaceId, kept: timedelta) -> bool:
        """Let its members in again; False when it is not there, was not deleted, or longer than ``kept`` ago."""
        change = update(Workspace).where(Workspace.id == workspace, *_restorable(kept)).values(deleted_at=None)
        return await self._changed(change.returning(Workspace.id))

    async def members(self, workspace: WorkspaceId, page: Page) -> tuple[list[MemberRow], int]:
        """A page of the members, the oldest first, and how many there are."""
        query = self._members().where(Member.workspace_id == workspace)
        ordered = query.order_by(Member.created_at, Member.user_id).limit(page.size).offset(page.offset)
        return [_member(row) for row in await self.session.execute(ordered)], await self._count(query)

    async def member(self, workspace: WorkspaceId, user: UserId) -> MemberRow | None:
        """One member."""
        query = self._members().where(Member.workspace_id == workspace, Member.user_id == user)
        row = (await self.session.execute(query)).one_or_none()
        return None if row is None else _member(row)

    async def set_role(self, workspace: WorkspaceId, user: UserId, role: Role) -> bool:
        """Give a member another part; False when they are none. Raises ``LastOwnerLeft``."""
        change = update(Member).where(*_which(workspace, user)).values(role=role).returning(Member.user_id)
        return await self._changed(change)

    async def remove(self, workspace: WorkspaceId, user: UserId) -> bool:
        """Take somebody's part away; False when they have none. Raises ``LastOwnerLeft``."""
        return await self._changed(delete(Member).where(*_which(workspace, user)).returning(Member.user_id))

    def _members(self) -> Select[User, str, datetime]:
        return select(User, Member.role, Member.created_at).join(Member, Member.user_id == User.id)

    async def _count(self, query: Select[User, str, datetime] | Select[Workspace, str]) -> int:
        return await self.session.scalar(select(func.count()).select_from(query.subquery())) or 0

    async def _changed(self, change: TypedReturnsRows[UUID]) -> bool:
        try:
            return (await self.session.execute(change)).one_or_none() is not None
        except IntegrityError as error:
            refusal = error.orig.__cause__ if error.orig else None
            if getattr(refusal, "constraint_name", None) == "members_keep_an_owner":
                raise LastOwnerLeft() from None
            raise


def _which(workspace: WorkspaceId, user: UserId) -> tuple[ColumnElement[bool], ...]:
    return Member.workspace_id == workspace, Member.user_id == user


def _restorable(kept: timedelta) -> tuple[ColumnElement[bool], ...]:
    """By the same clock and age by which they are removed for good: never both."""
    return Workspace.deleted_at > func.now() - kept, Workspace.purged_at.is_(None)


def _deleted(row: Workspace, kept: timedelta) -> Deleted:
    assert row.deleted_at is not None
    return Deleted(row, row.deleted_at + kept)


def _member(row: Row[User, str, datetime]) -> MemberRow:
    return MemberRow(row[0], Role(row[1]), row[2])
