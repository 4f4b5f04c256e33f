"""Adding to the audit log, in the transaction of the act itself."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from treadle.base.circumstances import sender
from treadle.base.ids import UserId, WorkspaceId, uuid7
from treadle.base.logging import request_id

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


def record(
    session: "AsyncSession",
    action: str,
    *,
    actor: UserId | None,
    workspace: WorkspaceId | None = None,
    target: object = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write an act down with the transaction of ``session``: both happen, or neither.

    ``action`` is a thing and what befell it, such as ``member.removed``; ``target`` is the id of that thing. ``actor``
    is None for somebody who could not be told from others. ``workspace`` is None for what concerns the whole install,
    which only the accounts' database may write. Never put a secret into ``details``.
    """
    from treadle.features.audit.models import AuditEntry  # noqa: PLC0415 (whoever has a session has loaded SQLAlchemy)

    session.add(
        AuditEntry(
            id=uuid7(),
            workspace_id=workspace,
            actor=actor,
            action=action,
            target=str(target),
            address=sender.get().address,
            request_id=request_id.get(),
            details=dict(details or {}),
        )
    )
