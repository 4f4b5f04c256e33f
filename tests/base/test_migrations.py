import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from treadle.base import migrations
from treadle.base.config import Settings
from treadle.base.database import DatabaseUrls
from treadle.base.errors import ConfigurationError
from treadle.base.migrations import migrate, newest_revision, stored_revision
from treadle.base.paths import migrations_folder
from treadle.base.postgres_files import server_binaries

ROOT = Path(__file__).resolve().parents[2]
Release = Callable[[int, str], None]


@pytest.fixture
def release(home: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """Publish a release that brings the migration of this number."""
    folder = home / "migrations"
    (folder / "versions").mkdir(parents=True)
    shutil.copy(migrations_folder() / "env.py", folder)
    monkeypatch.setattr(migrations, "migrations_folder", lambda: folder)

    def publish(number: int, sql: str) -> None:
        before = f'"{number - 1:04d}"' if number > 1 else "None"
        (folder / "versions" / f"{number:04d}_step.py").write_text(
            f'from alembic import op\n\nrevision = "{number:04d}"\ndown_revision = {before}\n\n\n'
            f'def upgrade() -> None:\n    op.execute("""{sql}""")\n'
        )
        monkeypatch.setattr(migrations, "release", lambda: f"1.{number}")

    return publish


def restored(home: Path, backup: Path) -> str:
    """The SQL that brings a backup back."""
    program = str(server_binaries(home, None) / "pg_restore")
    return subprocess.run([program, "-f", "-", str(backup)], check=True, capture_output=True, text=True).stdout


async def value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_two_processes_migrate_once(unmigrated_database: DatabaseUrls, settings: Settings) -> None:
    applied = await asyncio.gather(*(migrate(unmigrated_database, settings) for _ in range(2)))
    assert sorted(applied) == [False, True]
    assert await stored_revision(unmigrated_database.owner) == newest_revision() != ""
    assert not (settings.home / "backups").exists(), "an empty database needs no backup"


async def test_an_older_database_is_backed_up_then_migrated(
    unmigrated_database: DatabaseUrls, settings: Settings, release: Release
) -> None:
    release(1, "CREATE TABLE kept (value int); INSERT INTO kept VALUES (7)")
    assert await migrate(unmigrated_database, settings)
    release(2, "ALTER TABLE kept ADD added text DEFAULT 'a:b'; UPDATE kept SET value = 8")
    assert await migrate(unmigrated_database, settings)
    assert await value(unmigrated_database.owner, "SELECT value || added FROM kept") == "8a:b"
    (backup,) = (settings.home / "backups").iterdir()
    assert backup.name == "treadle-000001-0001.dump"
    assert "COPY public.kept (value) FROM stdin;\n7\n" in restored(settings.home, backup)


async def test_the_release_that_made_each_revision_is_recorded(
    unmigrated_database: DatabaseUrls, settings: Settings, release: Release
) -> None:
    for number in (1, 2):
        release(number, f"CREATE TABLE t{number} ()")
        await migrate(unmigrated_database, settings)
    made = "SELECT string_agg(revision || ' by ' || release, ', ' ORDER BY revision) FROM schema_history"
    assert await value(unmigrated_database.owner, made) == "0001 by 1.1, 0002 by 1.2"


async def test_only_the_owner_changes_what_is_recorded_about_the_schema(database: DatabaseUrls) -> None:
    for dsn in (database.engine, database.api):
        assert await stored_revision(dsn) == newest_revision()
        for table in ("alembic_version", "schema_history"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await value(dsn, f"DELETE FROM {table}")


async def test_three_backups_are_kept(unmigrated_database: DatabaseUrls, settings: Settings, release: Release) -> None:
    for number in range(1, 7):
        release(number, f"CREATE TABLE t{number} ()")
        await migrate(unmigrated_database, settings)
    found = sorted(path.name for path in (settings.home / "backups").iterdir())
    assert found == [f"treadle-00000{number}-000{number}.dump" for number in (3, 4, 5)]


async def test_a_database_newer_than_the_release_is_refused(
    unmigrated_database: DatabaseUrls, settings: Settings, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        release(number, f"CREATE TABLE t{number} ()")
        await migrate(unmigrated_database, settings)
    (settings.home / "migrations/versions/0002_step.py").unlink()
    monkeypatch.setattr(migrations, "release", lambda: "1.1")
    with pytest.raises(ConfigurationError) as raised:
        await migrate(unmigrated_database, settings)
    assert "revision 0002, made by Treadle 1.2" in raised.value.message
    assert "Treadle 1.1, which knows revisions up to 0001" in raised.value.message
    assert "Install Treadle 1.2 or newer" in raised.value.fix


async def test_a_migration_that_fails_changes_nothing(
    unmigrated_database: DatabaseUrls, settings: Settings, release: Release
) -> None:
    release(1, "CREATE TABLE kept ()")
    await migrate(unmigrated_database, settings)
    release(2, "CREATE TABLE half (); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(unmigrated_database, settings)
    assert await stored_revision(unmigrated_database.owner) == "0001"
    assert await value(unmigrated_database.owner, "SELECT to_regclass('half')::text") is None


async def test_a_backup_that_fails_stops_the_migration(
    unmigrated_database: DatabaseUrls, settings: Settings, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(1, "CREATE TABLE kept ()")
    await migrate(unmigrated_database, settings)
    release(2, "CREATE TABLE more ()")
    monkeypatch.setattr(migrations, "superuser_address", lambda dsn: dsn.replace("//treadle_owner@", "//nobody@"))
    with pytest.raises(ConfigurationError, match="could not be backed up"):
        await migrate(unmigrated_database, settings)
    assert await stored_revision(unmigrated_database.owner) == "0001"
    assert list((settings.home / "backups").iterdir()) == []


def test_starting_on_a_current_schema_needs_neither_sqlalchemy_nor_alembic() -> None:
    code = "import sys, treadle.base.migrations; print({'sqlalchemy', 'alembic'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert shown.stdout == "set()\n"


async def test_a_current_schema_is_left_alone(
    database: DatabaseUrls, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_upgrade", None)
    assert not await migrate(database, settings)


def test_migrations_form_one_numbered_line() -> None:
    numbers = sorted(path.name[:4] for path in (migrations_folder() / "versions").glob("*.py"))
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]
