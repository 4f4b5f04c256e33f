"""Files in the database. Every query is made for a workspace, and the database sees to it as well."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.errors import Conflict
from treadle.base.ids import FileId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.files.models import StoredFile


class FileRepository:
    """Files of one workspace, within one transaction."""

    def __init__(self, session: AsyncSession, workspace: WorkspaceId) -> None:
        self._session = session
        self._workspace = workspace

    async def lock(self) -> None:
        """Let nobody else add a file to the workspace before the transaction ends: its space is counted."""
        key = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
        await self._session.execute(key, {"key": f"files:{self._workspace}"})

    async def used(self) -> tuple[int, int]:
        """How many files there are, and their bytes; those that are still arriving included."""
        query = select(func.count(), func.coalesce(func.sum(StoredFile.size), 0)).where(self._own, _alive())
        row = (await self._session.execute(query)).one()
        return int(row[0]), int(row[1])

    async def add(self, row: StoredFile, keep: timedelta | None) -> None:
        """Add a file that is arriving; it goes after ``keep``."""
        if keep is not None:
            row.expires_at = func.now() + keep
        self._session.add(row)
        await self._session.flush()

    async def get(self, id: FileId) -> StoredFile | None:
        """A file that can be used."""
        query = select(StoredFile).where(self._own, _alive(), StoredFile.id == id, StoredFile.status == "READY")
        return await self._session.scalar(query)

    async def by_key(self, idempotency_key: str) -> StoredFile | None:
        """The file that was sent with this key."""
        query = select(StoredFile).where(self._own, StoredFile.idempotency_key == idempotency_key)
        return await self._session.scalar(query)

    async def page(self, page: Page, name: str = "") -> tuple[list[StoredFile], int]:
        """Files that can be used, newest first, and how many there are; those whose name holds ``name``."""
        wanted = [self._own, _alive(), StoredFile.status == "READY"]
        if name:
            wanted.append(StoredFile.name.icontains(name, autoescape=True))
        total = await self._session.scalar(select(func.count()).where(*wanted)) or 0
        query = select(StoredFile).where(*wanted).order_by(StoredFile.created_at.desc(), StoredFile.id.desc())
        return list(await self._session.scalars(query.offset(page.offset).limit(page.size))), total

    async def arrived(self, id: FileId, **values: Any) -> StoredFile:
        """The file is complete: ready, or locked away."""
        query = update(StoredFile).where(self._own, StoredFile.id == id, StoredFile.status == "ARRIVING")
        row: StoredFile | None = await self._session.scalar(query.values(**values).returning(StoredFile))
        if row is None:
            raise Conflict("The upload was given up meanwhile.", fix="Send the file again.")
        return row

    async def remove(self, id: FileId) -> StoredFile | None:
        """Delete the row; what it was, or None when there is none."""
        query = delete(StoredFile).where(self._own, StoredFile.id == id).returning(StoredFile)
        return await self._session.scalar(query)

    @property
    def _own(self) -> ColumnElement[bool]:
        return StoredFile.workspace_id == self._workspace


def _alive() -> ColumnElement[bool]:
    return or_(StoredFile.expires_at.is_(None), StoredFile.expires_at > func.now())
