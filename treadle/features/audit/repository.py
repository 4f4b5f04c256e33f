"""The audit log in the database."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.features.audit.models import AuditEntry
from treadle.features.audit.reading import Sought


async def entries(session: AsyncSession, sought: Sought, limit: int) -> Sequence[AuditEntry]:
    """The newest ``limit`` acts that are sought, of those that the session may see."""
    query = select(AuditEntry).where(*_conditions(sought)).order_by(AuditEntry.id.desc()).limit(limit)
    return (await session.scalars(query)).all()


def _conditions(sought: Sought) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if sought.workspace is not None:
        wanted.append(AuditEntry.workspace_id == sought.workspace)
    if sought.action is not None:
        below = AuditEntry.action.startswith(f"{sought.action}.", autoescape=True)
        wanted.append(or_(AuditEntry.action == sought.action, below))
    if sought.actor is not None:
        wanted.append(AuditEntry.actor == sought.actor)
    if sought.target is not None:
        wanted.append(AuditEntry.target == sought.target)
    if sought.since is not None:
        wanted.append(AuditEntry.at >= sought.since)
    if sought.until is not None:
        wanted.append(AuditEntry.at < sought.until)
    if sought.before is not None:
        wanted.append(AuditEntry.id < sought.before)
    return wanted
