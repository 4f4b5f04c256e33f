"""Where the bytes of files are: under names that nobody chooses but this module."""

import asyncio
import contextlib
import hashlib
import os
import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import UUID

from treadle.base.errors import NotFound, Unavailable

PIECE = 256 * 1024
"""Bytes that are in memory of a file that is read or written."""
_KEY = re.compile(r"[0-9a-f]{32}")


class FileWriter(Protocol):
    """A file that is being written. It is there for readers after ``finish``; without that, ``FileStore.remove`` it.

    ``write`` and ``finish`` raise ``Unavailable`` when it cannot be kept, such as on a full disk.
    """

    async def write(self, content: bytes) -> None: ...
    async def finish(self) -> bytes:
        """Make it durable; its SHA-256."""
        ...

    def close(self) -> None:
        """Write no more: at the end of everything, finished or not."""
        ...


class FileStore(Protocol):
    """Keeps the bytes of files by key."""

    async def create(self, key: UUID) -> FileWriter:
        """A new file. Raises ``Unavailable`` when there can be none."""
        ...

    def read(self, key: UUID, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from ``start`` to before ``end``, piece by piece. Raises ``NotFound``."""
        ...

    async def quarantine(self, key: UUID) -> None:
        """Put it where nothing reads it."""
        ...

    async def remove(self, key: UUID) -> None:
        """Delete it, from quarantine too; without effect when it is not there."""
        ...


class LocalFileStore:
    """One file each in a local folder, named by its key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def create(self, key: UUID) -> FileWriter:
        path = self._path(key)
        with _kept():
            return _LocalWriter(await asyncio.to_thread(_open_new, path.with_suffix(".partial")), path)

    async def read(self, key: UUID, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        try:
            file = await asyncio.to_thread(_open_at, self._path(key), start)
        except OSError:
            raise NotFound("The content of this file is no longer there.", fix="Upload it again.") from None
        try:
            left = end - start if end is not None else None
            while left is None or left > 0:
                piece = await asyncio.to_thread(file.read, PIECE if left is None else min(PIECE, left))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            file.close()

    async def quarantine(self, key: UUID) -> None:
        await asyncio.to_thread(_move, self._path(key), self._quarantined(key))

    async def remove(self, key: UUID) -> None:
        for path in (self._path(key), self._path(key).with_suffix(".partial"), self._quarantined(key)):
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _path(self, key: UUID) -> Path:
        return self._folder / key.hex[-2:] / key.hex

    def _quarantined(self, key: UUID) -> Path:
        return self._folder / "quarantine" / key.hex


class _LocalWriter:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._digest = hashlib.sha256()

    async def write(self, content: bytes) -> None:
        with _kept():
            await asyncio.to_thread(self._write, content)

    async def finish(self) -> bytes:
        with _kept():
            await asyncio.to_thread(self._finish)
        return self._digest.digest()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of what is not finished nothing need be kept
            self._file.close()

    def _write(self, content: bytes) -> None:
        self._digest.update(content)
        self._file.write(content)

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.with_suffix(".partial").replace(self._path)
        _sync_folder(self._path.parent)


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"The file cannot be stored: {error.strerror or type(error).__name__}.",
            fix="Nothing of it was kept. Tell whoever runs this server, and send it again later.",
        ) from error


def _open_new(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _open_at(path: Path, start: int) -> BinaryIO:
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb", buffering=0)
    file.seek(start)
    return file


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source.replace(target)
    target.chmod(0o400)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
