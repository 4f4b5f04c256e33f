"""Credentials in the database. Every query is made for a workspace, and the database sees to it as well."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.crypto import HOLD_KEYS
from treadle.base.ids import CredentialsId, UserId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.audit.service import record
from treadle.features.credentials.models import StoredCredentials


class CredentialsRepository:
    """Credentials of one workspace, within one transaction."""

    def __init__(self, session: AsyncSession, workspace: WorkspaceId) -> None:
        self._session = session
        self._workspace = workspace

    async def hold_keys(self) -> None:
        """What has to be done before anything is sealed in this transaction."""
        await self._session.execute(text(HOLD_KEYS))

    def note(self, user: UserId, action: str, id: UUID, **details: Any) -> None:
        """Write down in the audit log what befell credentials."""
        record(
            self._session,
            f"credentials.{action}",
            actor=user,
            workspace=self._workspace,
            target=id,
            details=details,
        )

    async def lock(self) -> None:
        """Let nobody else add credentials to the workspace before the transaction ends: they are counted."""
        key = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
        await self._session.execute(key, {"key": f"credentials:{self._workspace}"})

    async def count(self) -> int:
        """How many there are."""
        return await self._session.scalar(select(func.count()).where(self._own)) or 0

    async def add(self, row: StoredCredentials) -> None:
        """Add credentials."""
        self._session.add(row)
        await self._session.flush()

    async def every(self) -> list[StoredCredentials]:
        """All of them, oldest first."""
        query = select(StoredCredentials).where(self._own)
        return list(await self._session.scalars(query.order_by(StoredCredentials.created_at, StoredCredentials.id)))

    async def page(self, page: Page, provider: str = "") -> tuple[list[StoredCredentials], int]:
        """Those of a provider, or all, newest first, and how many there are."""
        wanted = [self._own, *([StoredCredentials.provider == provider] if provider else [])]
        total = await self._session.scalar(select(func.count()).where(*wanted)) or 0
        query = select(StoredCredentials).where(*wanted)
        query = query.order_by(StoredCredentials.created_at.desc(), StoredCredentials.id.desc())
        return list(await self._session.scalars(query.offset(page.offset).limit(page.size))), total

    async def get(self, id: CredentialsId, *, to_change: bool = False) -> StoredCredentials | None:
        """The credentials of that id; ``to_change`` lets nobody else change them before the transaction ends."""
        query = select(StoredCredentials).where(self._own, StoredCredentials.id == id)
        return await self._session.scalar(query.with_for_update() if to_change else query)

    async def change(self, id: CredentialsId, values: Mapping[str, Any]) -> StoredCredentials:
        """Change credentials that are locked."""
        query = update(StoredCredentials).where(self._own, StoredCredentials.id == id)
        done = await self._session.scalars(
            query.values(**values, updated_at=func.now())
            .returning(StoredCredentials)
            .execution_options(populate_existing=True)
        )
        return done.one()

    async def remove(self, id: CredentialsId) -> bool:
        """Delete credentials; whether there were any."""
        query = delete(StoredCredentials).where(self._own, StoredCredentials.id == id).returning(StoredCredentials.id)
        return await self._session.scalar(query) is not None

    async def used(self, id: CredentialsId, exact_to: timedelta) -> None:
        """Note that they are used now, unless that was noted not longer than ``exact_to`` ago."""
        last = StoredCredentials.last_used_at
        stale = or_(last.is_(None), last < func.now() - exact_to)
        query = update(StoredCredentials).where(self._own, StoredCredentials.id == id, stale)
        await self._session.execute(query.values(last_used_at=func.now()))

    @property
    def _own(self) -> ColumnElement[bool]:
        return StoredCredentials.workspace_id == self._workspace
