"""Files are taken in piece by piece, scanned before anybody can use them, given out, and go when their time is over."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import FileId, UserId, WorkspaceId, uuid7
from treadle.base.paging import Page
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.files.errors import InfectedFile, ScannerUnavailable, TooLarge, TooLargeToScan
from treadle.features.files.scanner import Scanner, ScanPolicy
from treadle.features.files.store import PIECE, FileStore, FileWriter
from treadle.sdk.file_types import mime_of, true_name
from treadle.sdk.files import safe_name

if TYPE_CHECKING:
    from treadle.features.files.models import StoredFile
    from treadle.features.files.repository import FileRepository

_HEAD = 4096
"""Bytes by which the type of a file is told."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileQuota:
    """What one file and all files of a workspace may take."""

    file_bytes: int = 2 * 1024**3
    workspace_bytes: int = 10 * 1024**3
    files: int = 10_000
    keep: timedelta | None = None
    """How long files are kept unless the upload says otherwise; None: for ever."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as somebody sends it."""

    name: str
    content: AsyncIterator[bytes]
    keep: timedelta | None = None
    idempotency_key: str | None = None


@dataclass(slots=True)
class _Written:
    head: bytes = b""
    size: int = 0
    sha256: bytes = b""


class Files:
    """The files of an install."""

    def __init__(
        self,
        database: WorkspaceDatabase,
        store: FileStore,
        scanner: Scanner,
        policy: ScanPolicy = ScanPolicy.IF_AVAILABLE,
        quota: FileQuota | None = None,
    ) -> None:
        self._database = database
        self._store = store
        self.scanner = scanner
        self.policy = policy
        self.quota = quota or FileQuota()

    async def upload(self, workspace: WorkspaceId, user: UserId, upload: Upload) -> "StoredFile":
        """Take a file in; nobody can use it before it is complete and scanned, and nothing of it stays if it fails.

        Raises:
            TooLarge: it is too large, or the workspace has no space left.
            InfectedFile: the scanner has found something.
            ScannerUnavailable, TooLargeToScan: it could not be scanned, and must be.
            Unavailable: the disk is full, or cannot be written to.
            Conflict: another file was sent with the same idempotency key.
        """
        row, room = await self._begin(workspace, user, upload)
        complete = False
        try:
            with contextlib.closing(await self._store.create(row.place)) as writer:
                written = await _write(writer, upload.content, room)
            finding, scan = await self._scan(row)
            if finding:
                await self._lock_away(workspace, row, written, finding)
                complete = True
                raise _infected(row.name, finding)
            done = await self._finish(workspace, row, written, scan)
            complete = True
            return done
        finally:
            if not complete:
                # Also when whoever sends it has gone away: the task is cancelled then, and this must still be done.
                await asyncio.shield(self._forget(workspace, row))

    async def repeated(self, workspace: WorkspaceId, idempotency_key: str) -> "StoredFile | None":
        """The file that was sent with this key before, if it is there."""
        async with self._repository(workspace) as repository:
            row = await repository.by_key(idempotency_key)
        if row is not None and row.status == "ARRIVING":
            raise Conflict("This upload is under way.", fix="Wait for it, or send it with another Idempotency-Key.")
        if row is not None and row.status == "QUARANTINED":
            raise _infected(row.name, row.finding)
        return row

    async def get(self, workspace: WorkspaceId, id: FileId) -> "StoredFile":
        """A file that can be used. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            row = await repository.get(id)
        if row is None:
            raise _missing(id)
        return row

    async def listed(self, workspace: WorkspaceId, page: Page, name: str = "") -> "tuple[list[StoredFile], int]":
        """A page of files, newest first, and how many there are."""
        async with self._repository(workspace) as repository:
            return await repository.page(page, name)

    async def usage(self, workspace: WorkspaceId) -> tuple[int, int]:
        """How many files there are, and their bytes."""
        async with self._repository(workspace) as repository:
            return await repository.used()

    def content(self, row: "StoredFile", start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` to before ``end``, piece by piece."""
        return self._store.read(row.place, start, end)

    async def delete(self, workspace: WorkspaceId, id: FileId) -> None:
        """Delete a file. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            row = await repository.remove(id) if await repository.get(id) else None
        if row is None:
            raise _missing(id)
        await self._store.remove(row.place)

    async def fetch(self, workspace: WorkspaceId, id: FileId, largest: int) -> tuple[str, bytes]:
        """Name and content of a file for a run (``treadle.sdk.files.WorkspaceFiles``).

        Raises:
            NotFound: the workspace has no such file.
            TooLarge: it has more than ``largest`` bytes.
        """
        row = await self.get(workspace, id)
        if row.size > largest:
            raise TooLarge(f"The file {row.name!r} is larger than {largest:,} bytes.", fix="Use a smaller file.")
        return row.name, b"".join([piece async for piece in self.content(row)])

    async def _begin(self, workspace: WorkspaceId, user: UserId, upload: Upload) -> "tuple[StoredFile, int]":
        """The row of a file that is arriving, and how many bytes it may have."""
        from treadle.features.files.models import StoredFile  # noqa: PLC0415 (SQLAlchemy)

        row = StoredFile(
            id=uuid7(),
            workspace_id=workspace,
            created_by=user,
            place=uuid4(),
            name=safe_name(upload.name),
            content_type="application/octet-stream",
            size=0,
            status="ARRIVING",
            idempotency_key=upload.idempotency_key,
        )
        async with self._repository(workspace) as repository:
            await repository.lock()
            count, used = await repository.used()
            if count >= self.quota.files:
                raise TooLarge(f"This workspace has {count:,} files, the most it may.", fix="Delete some files.")
            if upload.idempotency_key is not None and await repository.by_key(upload.idempotency_key):
                raise Conflict("A file was sent with this Idempotency-Key before.", fix="Use a new key.")
            await repository.add(row, upload.keep or self.quota.keep)
        return row, min(self.quota.file_bytes, max(0, self.quota.workspace_bytes - used))

    async def _scan(self, row: "StoredFile") -> tuple[str, str]:
        """What was found, and whether it was scanned at all."""
        if self.policy is ScanPolicy.OFF:
            return "", "NONE"
        try:
            async with contextlib.aclosing(self._store.read(row.place)) as content:  # it may not be read to its end
                finding = await self.scanner.scan(content)
        except (ScannerUnavailable, TooLargeToScan) as error:
            if self.policy is ScanPolicy.REQUIRED:
                raise
            _log.warning("A file was taken without a scan: %s", error.message, extra={"file": str(row.id)})
            return "", "NONE"
        return finding, "INFECTED" if finding else "CLEAN"

    async def _finish(self, workspace: WorkspaceId, row: "StoredFile", written: _Written, scan: str) -> "StoredFile":
        name = true_name(row.name, written.head, distrust=True)
        async with self._repository(workspace) as repository:
            await repository.lock()
            _, used = await repository.used()
            if used + written.size > self.quota.workspace_bytes:
                raise self._no_space()
            return await repository.arrived(
                FileId(row.id),
                status="READY",
                name=name,
                content_type=mime_of(name),
                scan=scan,
                size=written.size,
                sha256=written.sha256,
            )

    async def _lock_away(self, workspace: WorkspaceId, row: "StoredFile", written: _Written, finding: str) -> None:
        await self._store.quarantine(row.place)
        values: dict[str, Any] = {"status": "QUARANTINED", "scan": "INFECTED", "finding": finding}
        async with self._repository(workspace) as repository:
            await repository.arrived(FileId(row.id), **values, size=written.size, sha256=written.sha256)
        extra = {"file": str(row.id), "workspace": str(workspace), "user": str(row.created_by), "finding": finding}
        _log.warning("An infected file was locked away", extra=extra)

    async def _forget(self, workspace: WorkspaceId, row: "StoredFile") -> None:
        async with self._repository(workspace) as repository:
            await repository.remove(FileId(row.id))
        await self._store.remove(row.place)

    def _no_space(self) -> TooLarge:
        return TooLarge(
            f"The files of this workspace may have {self.quota.workspace_bytes:,} bytes together.",
            fix="Delete files that are no longer needed.",
        )

    @contextlib.asynccontextmanager
    async def _repository(self, workspace: WorkspaceId) -> "AsyncIterator[FileRepository]":
        from treadle.features.files.repository import FileRepository  # noqa: PLC0415 (SQLAlchemy)

        async with self._database.transaction(workspace) as session:
            yield FileRepository(session, workspace)


async def _write(writer: FileWriter, content: AsyncIterator[bytes], room: int) -> _Written:
    written = _Written()
    buffer = bytearray()
    async for piece in content:
        buffer += piece
        written.size += len(piece)
        if written.size > room:
            raise TooLarge(
                f"The file has more than {room:,} bytes, which is what there is room for.",
                fix="Send a smaller file, or delete files that are no longer needed.",
            )
        if len(written.head) < _HEAD:
            written.head = bytes((written.head + piece)[:_HEAD])
        if len(buffer) >= PIECE:
            await writer.write(bytes(buffer))
            buffer.clear()
    await writer.write(bytes(buffer))
    written.sha256 = await writer.finish()
    return written


def _infected(name: str, finding: str) -> InfectedFile:
    return InfectedFile(
        f"The virus scanner has found {finding} in {name!r}.",
        fix="Clean the file, or ask an administrator if you think that this is a mistake.",
    )


def _missing(id: FileId) -> NotFound:
    return NotFound(f"There is no file {id}.", fix="List the files to find its id.")
