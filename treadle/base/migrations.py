"""The schema's life: which revision the database has, which one this release has, and the way between."""

import asyncio
import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from treadle.base.config import Settings
from treadle.base.database import DatabaseUrls, create_engine
from treadle.base.errors import ConfigurationError
from treadle.base.paths import ensure_folder, migrations_folder
from treadle.base.roles import superuser_address

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOCK_KEY = 0x74726561646C65
"""The advisory lock that one migrating process holds: "treadle" in ASCII."""

_BACKUPS_KEPT = 3
_log = logging.getLogger(__name__)


def newest_revision() -> str:
    """The last migration of this release: ``0007`` when its file is ``0007_schedules.py``."""
    names = [path.name for path in (migrations_folder() / "versions").glob("[0-9]*_*.py")]
    return max(names).split("_")[0] if names else ""


def release() -> str:
    """The version of Treadle that runs."""
    try:
        return version("treadle")
    except PackageNotFoundError:
        return "checkout"


async def stored_revision(dsn: str) -> str:
    """The revision of the database; empty for one that has never been migrated."""
    connection = await asyncpg.connect(dsn)
    try:
        return await _stored_revision(connection)
    finally:
        await connection.close()


async def migrate(urls: DatabaseUrls, settings: Settings) -> bool:
    """Bring the schema to this release's revision; True when something was applied.

    Raises ConfigurationError when the database is newer than this release. A filled embedded database is backed up
    into ``backups`` of the data folder first. When nothing is to do this costs one query.
    """
    wanted = newest_revision()
    if await stored_revision(urls.owner) == wanted:
        return False
    guard = await asyncpg.connect(urls.owner)
    try:
        await guard.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        stored = await _stored_revision(guard)
        if stored == wanted:
            return False
        if stored > wanted:
            raise await _newer_database(guard, stored, wanted)
        if stored and settings.embedded_database:
            await asyncio.to_thread(back_up, superuser_address(urls.owner), settings.home, stored)
        _log.info("Migrating the database from revision %s to %s", stored or "(empty)", wanted)
        await _upgrade(urls.owner)
        return True
    finally:
        await guard.close()


def back_up(dsn: str, home: Path, revision: str) -> Path:
    """Dump one embedded database, as its superuser, into ``backups`` of the data folder; returns the file.

    The newest three are kept. Raises ConfigurationError when the dump fails, a full disk included.
    """
    from treadle.base.postgres_files import dump_database  # noqa: PLC0415 (Unix and the embedded server only)

    folder = ensure_folder(home / "backups")
    taken = [int(found.name.split("-")[1]) for found in folder.glob("treadle-*.dump")]
    target = folder / f"treadle-{max(taken, default=0) + 1:06d}-{revision}.dump"
    dump_database(dsn, target)
    for old in sorted(folder.glob("treadle-*.dump"))[:-_BACKUPS_KEPT]:
        old.unlink()
    _log.info("Backed up the database to %s", target)
    return target


async def _stored_revision(connection: asyncpg.Connection) -> str:
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return ""
    return found or ""


async def _newer_database(connection: asyncpg.Connection, stored: str, wanted: str) -> ConfigurationError:
    made_by = await connection.fetchval("SELECT release FROM schema_history WHERE revision = $1", stored)
    return ConfigurationError(
        f"The database has revision {stored}, made by Treadle {made_by or 'of an unknown release'}, "
        f"but this is Treadle {release()}, which knows revisions up to {wanted or '(none)'}.",
        fix=f"Install Treadle {made_by or 'in its newest release'} or newer; "
        "to go back, restore the backup that was made before the update.",
    )


async def _upgrade(dsn: str) -> None:
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    engine = create_engine(dsn, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run_alembic)
    finally:
        await engine.dispose()


def _run_alembic(connection: "Connection") -> None:
    from alembic import command  # noqa: PLC0415 (only when there is something to apply)
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["release"] = release()
    command.upgrade(config, "head")
