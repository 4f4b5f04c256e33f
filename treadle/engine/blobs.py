"""Large values in a local folder: one file each, named by the hash of its content."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path

from treadle.base.errors import NotFound
from treadle.base.ids import WorkspaceId, uuid7

PIECE = 256 * 1024
"""Bytes that are read at once."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class LocalBlobs:
    """Keeps content under ``folder/workspace/aa/digest``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, workspace: WorkspaceId, digest: str, content: bytes) -> None:
        """Keep the content; it is on the disk when this returns."""
        await asyncio.to_thread(self._put, self._path(workspace, digest), content)

    async def get(self, workspace: WorkspaceId, digest: str) -> bytes:
        """The content. Raises ``NotFound``."""
        path = self._path(workspace, digest)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            raise NotFound(f"The large value {digest[:12]} is not stored here.") from None

    async def read(self, workspace: WorkspaceId, digest: str) -> AsyncGenerator[bytes, None]:
        """The content, piece by piece. Raises ``NotFound`` with the first."""
        path = self._path(workspace, digest)
        try:
            file = await asyncio.to_thread(path.open, "rb")
        except FileNotFoundError:
            raise NotFound(f"The large value {digest[:12]} is not stored here.") from None
        with file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece

    def _path(self, workspace: WorkspaceId, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise NotFound("That is not the name of a stored value.")
        return self._folder / str(workspace) / digest[:2] / digest

    def _put(self, path: Path, content: bytes) -> None:
        try:
            os.utime(path)  # in use again: the sweep of old values must see that
        except FileNotFoundError:
            pass
        else:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{uuid7()}")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
