"""Reading the audit log. Nobody changes it: the database refuses that to everybody, its owner included."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from treadle.base.ids import UserId, WorkspaceId
from treadle.base.sessions import AccountsDatabase, WorkspaceDatabase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.features.audit.models import AuditEntry


@dataclass(frozen=True, slots=True)
class Sought:
    """Which acts are wanted; None is no condition."""

    action: str | None = None
    """One such as ``member.removed``, or all that befell a kind of thing: ``member``."""
    actor: UserId | None = None
    target: str | None = None
    workspace: WorkspaceId | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Before that."""
    before: UUID | None = None
    """Older than this act: how a reader goes on."""

    def within(self, workspace: WorkspaceId | None) -> "Sought":
        """The same in one workspace, or in all."""
        return replace(self, workspace=workspace)


class AuditLog:
    """The acts of an install, the newest first."""

    def __init__(self, database: WorkspaceDatabase, accounts_database: AccountsDatabase) -> None:
        self._database = database
        self._accounts_database = accounts_database

    async def of_workspace(self, workspace: WorkspaceId, sought: Sought, limit: int) -> "Sequence[AuditEntry]":
        """Acts in one workspace; row-level security lets no others be seen."""
        from treadle.features.audit.repository import entries  # noqa: PLC0415 (loads SQLAlchemy)

        async with self._database.transaction(workspace) as session:
            return await entries(session, sought.within(workspace), limit)

    async def of_install(self, sought: Sought, limit: int) -> "Sequence[AuditEntry]":
        """Acts in all workspaces, and those that concern the whole install, such as signing in."""
        from treadle.features.audit.repository import entries  # noqa: PLC0415 (loads SQLAlchemy)

        async with self._accounts_database.transaction() as session:
            return await entries(session, sought, limit)
