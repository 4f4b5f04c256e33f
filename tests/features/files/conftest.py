"""Files of two workspaces on a real database, a real folder and a real scanner."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.scanner import running_clamd
from treadle.base.database import DatabaseUrls
from treadle.base.ids import UserId, WorkspaceId
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.files.scanner import ClamdScanner
from treadle.features.files.service import Files
from treadle.features.files.store import LocalFileStore

ANN = UserId(uuid4())


@pytest.fixture(scope="session")
def clamd_port() -> Iterator[int]:
    with running_clamd() as port:
        yield port


@pytest.fixture
def scanner(clamd_port: int) -> ClamdScanner:
    return ClamdScanner("127.0.0.1", clamd_port)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
async def workspaces(database: DatabaseUrls) -> tuple[WorkspaceId, WorkspaceId]:
    """Two workspaces that know nothing of each other."""
    connection = await asyncpg.connect(database.owner)
    ids = (WorkspaceId(uuid4()), WorkspaceId(uuid4()))
    try:
        await connection.executemany("INSERT INTO workspaces (id, name) VALUES ($1, 'w')", [(each,) for each in ids])
    finally:
        await connection.close()
    return ids


@pytest.fixture
async def sessions(database: DatabaseUrls) -> AsyncIterator[WorkspaceDatabase]:
    opened = WorkspaceDatabase(database.api)
    yield opened
    await opened.close()


@pytest.fixture
def files(sessions: WorkspaceDatabase, folder: Path, scanner: ClamdScanner) -> Files:
    return Files(sessions, LocalFileStore(folder), scanner)


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    """As an upload arrives."""
    for piece in content:
        yield piece


async def whole(content: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in content])


def on_disk(folder: Path) -> list[str]:
    """Every file below the folder, by its place."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
