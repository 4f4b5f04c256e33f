"""Invitations in the database."""

from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import UserId
from treadle.features.accounts.models import Invitation, Member


class InvitationRepository:
    """Reads and changes invitations, within one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def is_open_for(self, email: str | None, hash: bytes | None, now: datetime, *, proven: bool) -> bool:
        """Whether an invitation lets in somebody with this address who holds the link with this hash, if any.

        It is locked: of two who come in with one invitation at once, the second finds it used.
        """
        address, held = Invitation.email == email, Invitation.hash == hash
        fits = or_(address, held) if proven else address & held
        query = select(Invitation.id).where(_open(now), fits).limit(1).with_for_update()
        return await self.session.scalar(query) is not None

    async def accept(self, user: UserId, hash: bytes, now: datetime) -> Invitation | None:
        """Use an invitation up: the person becomes a member. None when it is not open; of two at once one gets it.

        Whoever is a member already keeps the part that they have.
        """
        change = update(Invitation).where(Invitation.hash == hash, _open(now))
        change = change.values(accepted_at=now, accepted_by=user).execution_options(synchronize_session=False)
        taken = await self.session.scalar(change.returning(Invitation))
        if taken is not None:
            member = insert(Member).values(workspace_id=taken.workspace_id, user_id=user, role=taken.role)
            await self.session.execute(member.on_conflict_do_nothing())
        return taken


def _open(now: datetime) -> ColumnElement[bool]:
    return Invitation.accepted_at.is_(None) & Invitation.revoked_at.is_(None) & (Invitation.expires_at > now)
