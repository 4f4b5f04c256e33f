"""Invitations in the database."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import InvitationId, UserId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.accounts.models import Invitation, Member, User, Workspace


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation, with whom it is from and what it is to."""

    invitation: Invitation
    workspace: Workspace | None
    """None: to have an account here, and no more."""
    inviter: User


class InvitationRepository:
    """Reads and changes invitations, within one transaction. ``workspace`` is None for those to the install itself."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    # ---- coming in ----------------------------------------------------------------------------------------------

    async def is_open_for(self, email: str | None, hash: bytes | None, now: datetime, *, proven: bool) -> bool:
        """Whether an invitation lets in somebody with this address who holds the link with this hash, if any.

        It is locked: of two who come in with one invitation at once, the second finds it used.
        """
        address, held = Invitation.email == email, _held(hash)
        fits = or_(address, held) if proven else and_(address, held)
        query = select(Invitation.id).where(_open(now), fits).limit(1).with_for_update()
        return await self.session.scalar(query) is not None

    async def proves(self, email: str, hash: bytes | None, now: datetime) -> bool:
        """Whether this is the hash of a link that was mailed to the address: who holds it has read the mail."""
        query = select(Invitation.id).where(
            _open(now), Invitation.email == email, Invitation.mailed_hash == (hash or b"")
        )
        return await self.session.scalar(query.limit(1)) is not None

    async def by_hash(self, hash: bytes) -> Invitation | None:
        """The invitation of a link, whatever has become of it."""
        return await self.session.scalar(select(Invitation).where(_held(hash)))

    async def seen(self, hash: bytes, now: datetime) -> InvitationRow | None:
        """The open invitation of a link."""
        row = (await self.session.execute(_rows().where(_open(now), _held(hash)))).one_or_none()
        return None if row is None else _row(row)

    async def row(self, id: InvitationId) -> InvitationRow:
        """One that is known to be there."""
        return _row((await self.session.execute(_rows().where(Invitation.id == id))).one())

    async def workspace_for(self, id: InvitationId, email: str | None, now: datetime) -> WorkspaceId | None:
        """The workspace of an open invitation that names this address; it is locked."""
        wanted = (Invitation.id == id, Invitation.email == email, _open(now))
        found = await self.session.scalar(select(Invitation.workspace_id).where(*wanted).with_for_update())
        return None if found is None else WorkspaceId(found)

    async def accepted(self, id: InvitationId, user: UserId) -> WorkspaceId | None:
        """The workspace of an invitation that somebody has accepted; None when it was not they."""
        query = select(Invitation.workspace_id).where(Invitation.id == id, Invitation.accepted_by == user)
        found = await self.session.scalar(query)
        return None if found is None else WorkspaceId(found)

    async def take(
        self, user: UserId, now: datetime, *, hash: bytes | None = None, id: InvitationId | None = None
    ) -> Invitation | None:
        """Use one up, by its link or its id: the person becomes a member of its workspace, if it names one.

        None when it is not open; of two at once one gets it. Whoever is a member already keeps the part that they have.
        """
        which = Invitation.id == id if id is not None else _held(hash)
        change = update(Invitation).where(which, _open(now)).values(accepted_at=now, accepted_by=user)
        change = change.execution_options(synchronize_session=False)
        taken = await self.session.scalar(change.returning(Invitation))
        if taken is not None and taken.workspace_id is not None:
            member = insert(Member).values(workspace_id=taken.workspace_id, user_id=user, role=taken.role)
            await self.session.execute(member.on_conflict_do_nothing())
        return taken

    async def spend(self, email: str, user: UserId, now: datetime) -> list[InvitationId]:
        """Use up those to the install itself that name this address: there is an account of it now. Gives them."""
        change = update(Invitation).where(Invitation.email == email, Invitation.workspace_id.is_(None), _open(now))
        change = change.values(accepted_at=now, accepted_by=user).execution_options(synchronize_session=False)
        return [InvitationId(id) for id in await self.session.scalars(change.returning(Invitation.id))]

    # ---- inviting -----------------------------------------------------------------------------------------------

    async def add(self, row: Invitation) -> None:
        """Add one. There must be none that is neither used nor withdrawn to the same, for the same address."""
        self.session.add(row)
        await self.session.flush()

    async def relink(
        self, workspace: WorkspaceId | None, id: InvitationId, hash: bytes, now: datetime
    ) -> Invitation | None:
        """Another link for the inviter in place of the one before; None when it is not open."""
        change = update(Invitation).where(_to(workspace), Invitation.id == id, _open(now)).values(hash=hash)
        change = change.execution_options(synchronize_session=False)
        return await self.session.scalar(change.returning(Invitation))

    async def count(self, workspace: WorkspaceId | None, now: datetime) -> int:
        """How many are open."""
        query = select(func.count()).select_from(Invitation).where(_to(workspace), _open(now))
        return await self.session.scalar(query) or 0

    async def withdraw(
        self,
        now: datetime,
        *,
        id: InvitationId | None = None,
        email: str | None = None,
        workspace: WorkspaceId | None = None,
        inviter: UserId | None = None,
        to_install: bool = False,
    ) -> list[Invitation]:
        """Let those that all of this fits be good no more, run out or not. Gives them."""
        wanted: list[ColumnElement[bool]] = [Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None)]
        wanted += [Invitation.workspace_id == workspace] if workspace is not None else []
        wanted += [Invitation.workspace_id.is_(None)] if to_install else []
        wanted += [Invitation.id == id] if id is not None else []
        wanted += [Invitation.email == email] if email is not None else []
        wanted += [Invitation.invited_by == inviter] if inviter is not None else []
        assert len(wanted) > 2, "not all there are"
        change = update(Invitation).where(*wanted).values(revoked_at=now).execution_options(synchronize_session=False)
        return list(await self.session.scalars(change.returning(Invitation)))

    # ---- lists --------------------------------------------------------------------------------------------------

    async def page(
        self, now: datetime, page: Page, workspace: WorkspaceId | None = None
    ) -> tuple[list[InvitationRow], int]:
        """A page of those that are open, to one workspace or all that there are, newest first; and how many."""
        query = _rows().where(_open(now))
        return await self._paged(query if workspace is None else query.where(_to(workspace)), page)

    async def page_for(self, email: str, now: datetime, page: Page) -> tuple[list[InvitationRow], int]:
        """The same of those to workspaces that name this address."""
        return await self._paged(
            _rows().where(_open(now), Invitation.email == email, Invitation.workspace_id.is_not(None)), page
        )

    async def _paged(self, query: "Select[Invitation, Workspace, User]", page: Page) -> tuple[list[InvitationRow], int]:
        total = await self.session.scalar(select(func.count()).select_from(query.subquery())) or 0
        rows = await self.session.execute(query.order_by(Invitation.id.desc()).limit(page.size).offset(page.offset))
        return [_row(each) for each in rows], total


def _open(now: datetime) -> ColumnElement[bool]:
    return and_(Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None), Invitation.expires_at > now)


def _held(hash: bytes | None) -> ColumnElement[bool]:
    """By either of its links; without one it is none."""
    return or_(Invitation.hash == (hash or b""), Invitation.mailed_hash == (hash or b""))


def _to(workspace: WorkspaceId | None) -> ColumnElement[bool]:
    return Invitation.workspace_id == workspace if workspace is not None else Invitation.workspace_id.is_(None)


def _rows() -> "Select[Invitation, Workspace, User]":
    return (
        select(Invitation, Workspace, User)
        .join(User, User.id == Invitation.invited_by)
        .outerjoin(Workspace, Workspace.id == Invitation.workspace_id)
    )


def _row(row: "Row[Invitation, Workspace, User]") -> InvitationRow:
    workspace: Workspace | None = row[1]  # of an outer join
    return InvitationRow(row[0], workspace, row[2])
