"""What all tests share: reference facts, data folders, and databases.

One PostgreSQL runs for each test process; each test that asks gets a fresh copy of a migrated template.
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import hypothesis
import pytest

from treadle.base.config import Settings, load_settings, variable_names
from treadle.base.database import DatabaseUrls, embedded_urls
from treadle.base.locks import is_locked
from treadle.base.migrations import migrate
from treadle.base.postgres import EmbeddedPostgres
from treadle.base.roles import DATABASE, EXTENSIONS, OWNER, SUPERUSER, prepare_embedded, superuser_address

# How long an example takes says more of the machine and its other work than of the code. People try new examples with
# every run; CI the same ones for the same code, so that its verdict does not hang on chance.
hypothesis.settings.register_profile(
    "treadle",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("treadle")

_SERVER_PREFIX = "treadle-tests-"
_ABANDONED_SECONDS = 600.0
SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Reference facts (exported agents, recorded vectors) that lie beside a checkout on some machines."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference facts; a test that needs it is skipped, by name, where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference facts in ../shared")
    return SHARED


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty data folder. Not below pytest's own: as root PostgreSQL's user could not enter that."""
    folder = Path(tempfile.mkdtemp(prefix="treadle-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Default settings in an empty data folder, whatever the environment says."""
    return isolated_settings(home, monkeypatch)


def isolated_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same for a fixture that cannot ask for ``settings``."""
    for name in list(os.environ):
        if name in variable_names().values():
            monkeypatch.delenv(name)
    return load_settings(_env_file=None, home=home)


@pytest.fixture(scope="session")
def database_server() -> Iterator[EmbeddedPostgres]:
    """A server whose database ``treadle`` is migrated and serves as the template. It forgets on a crash."""
    _clear_away_abandoned_servers()
    home = Path(tempfile.mkdtemp(prefix=_SERVER_PREFIX, dir=_memory_folder()))
    home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    try:
        _run_apart(_prepare_template(server))
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture
async def database(database_server: EmbeddedPostgres) -> AsyncIterator[DatabaseUrls]:
    """A fresh, migrated, empty database of this test's own."""
    async with _own_database(database_server, DATABASE) as urls:
        yield urls


@pytest.fixture
async def unmigrated_database(database_server: EmbeddedPostgres) -> AsyncIterator[DatabaseUrls]:
    """A fresh database with the extensions and nothing else."""
    async with _own_database(database_server, "template0") as urls:
        connection = await asyncpg.connect(superuser_address(urls.owner))
        try:
            for extension in EXTENSIONS:
                await connection.execute(f"CREATE EXTENSION {extension}")
        finally:
            await connection.close()
        yield urls


def _clear_away_abandoned_servers() -> None:
    """Stop and remove what test processes that were killed have left."""
    for folder in Path(_memory_folder() or tempfile.gettempdir()).glob(f"{_SERVER_PREFIX}*"):
        with contextlib.suppress(OSError):  # another test process clears the same away
            old = folder.stat()
            if old.st_uid != os.geteuid() or time.time() - old.st_mtime < _ABANDONED_SECONDS:
                continue
            EmbeddedPostgres(folder, durable=False).stop_abandoned()
            if not is_locked(folder / "postgres.alive"):
                shutil.rmtree(folder, ignore_errors=True)


def _memory_folder() -> Path | None:
    """A folder in memory if there is one with room: a new database is 350 small files, slow to make on a disk."""
    folder = Path("/dev/shm")
    usable = folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 2 * 1024**3
    return folder if usable else None


@contextlib.asynccontextmanager
async def _own_database(server: EmbeddedPostgres, template: str) -> AsyncIterator[DatabaseUrls]:
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(server.dsn(SUPERUSER, "postgres"))
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER} STRATEGY FILE_COPY")
        yield embedded_urls(server, name)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


async def _prepare_template(server: EmbeddedPostgres) -> None:
    await prepare_embedded(server.dsn(SUPERUSER, "postgres"), server.dsn(SUPERUSER, DATABASE))
    settings = load_settings(_env_file=None, home=server.home, database_url="")
    await migrate(embedded_urls(server), settings)


def _run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread: the test's own event loop may already be there."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
