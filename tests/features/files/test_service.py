"""Files are taken in whole or not at all, scanned, kept apart by workspace, and go in time."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import psutil
import pytest

from tests.features.files.conftest import ANN, on_disk, pieces, whole
from tests.scanner import EICAR, MARKER, SCAN_LIMIT
from treadle.base.database import DatabaseUrls
from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import FileId, WorkspaceId
from treadle.base.paging import Page
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.files.errors import InfectedFile, ScannerUnavailable, TooLarge, TooLargeToScan
from treadle.features.files.scanner import ClamdScanner, ScanPolicy
from treadle.features.files.service import FileQuota, Files, Upload
from treadle.features.files.store import LocalFileStore
from treadle.features.files.sweeping import sweep_files

Workspaces = tuple[WorkspaceId, WorkspaceId]
PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 100
NOBODY = ClamdScanner("127.0.0.1", 1)


async def test_a_file_comes_back_as_it_was_sent(files: Files, workspaces: Workspaces) -> None:
    row = await files.upload(workspaces[0], ANN, Upload("letter.txt", pieces(b"Dear ", b"", b"Ann")))
    assert (row.name, row.content_type, row.size, row.scan) == ("letter.txt", "text/plain", 8, "CLEAN")
    assert await whole(files.content(row)) == b"Dear Ann"
    assert await whole(files.content(row, 5)) == b"Ann"
    assert await whole(files.content(row, 1, 4)) == b"ear"
    assert await files.usage(workspaces[0]) == (1, 8)


@pytest.mark.parametrize(
    ("claimed", "content", "name", "content_type"),
    [
        ("photo.txt", PNG, "photo.png", "image/png"),
        ("photo.png", b"no picture", "photo.bin", "application/octet-stream"),
        ("page.png", b"<html><script>alert(1)</script>", "page.html", "text/html"),
        ("empty", b"", "empty", "application/octet-stream"),
    ],
)
async def test_the_type_is_told_by_the_content(
    files: Files, workspaces: Workspaces, claimed: str, content: bytes, name: str, content_type: str
) -> None:
    row = await files.upload(workspaces[0], ANN, Upload(claimed, pieces(content)))
    assert (row.name, row.content_type) == (name, content_type)


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "..%2f..%2fx",
        "%252e%252e/x",
        "/etc/passwd",
        "C:\\x",
        "a\x00b",
        "n" * 300,
        ".",
        "..",
        "CON",
        "",
        "\u202ex",
    ],
)
async def test_f2_a_name_is_only_a_name(files: Files, workspaces: Workspaces, folder: Path, name: str) -> None:
    row = await files.upload(workspaces[0], ANN, Upload(name, pieces(b"x")))
    assert on_disk(folder) == [f"{row.place.hex[-2:]}/{row.place.hex}"]
    assert row.name
    assert not set(row.name) & set("/\\\0")
    assert len(row.name) <= 255


@pytest.mark.parametrize("content", [EICAR, b"x" * 300_000 + MARKER + b"y" * 300_000])
async def test_f16_an_infected_file_is_refused_told_and_locked_away(
    files: Files, workspaces: Workspaces, folder: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InfectedFile) as refused, caplog.at_level(logging.WARNING):
        await files.upload(workspaces[0], ANN, Upload("virus.com", pieces(content), idempotency_key="v"))
    assert "Test-" in refused.value.message
    assert await files.listed(workspaces[0], Page()) == ([], 0)
    (place,) = on_disk(folder)
    assert place.startswith("quarantine/")
    assert "locked away" in caplog.text
    with pytest.raises(InfectedFile):
        await files.repeated(workspaces[0], "v")


async def test_f16_without_a_scanner_the_policy_decides(
    sessions: WorkspaceDatabase, folder: Path, workspaces: Workspaces
) -> None:
    store = LocalFileStore(folder)
    strict = Files(sessions, store, NOBODY, ScanPolicy.REQUIRED)
    with pytest.raises(ScannerUnavailable):
        await strict.upload(workspaces[0], ANN, Upload("a.txt", pieces(b"a")))
    assert on_disk(folder) == []
    assert await strict.usage(workspaces[0]) == (0, 0)
    for policy in (ScanPolicy.IF_AVAILABLE, ScanPolicy.OFF):
        row = await Files(sessions, store, NOBODY, policy).upload(workspaces[0], ANN, Upload("a.txt", pieces(b"a")))
        assert row.scan == "NONE"


async def test_f16_what_is_too_large_for_the_scanner_is_refused_where_scanning_is_demanded(
    sessions: WorkspaceDatabase, folder: Path, scanner: ClamdScanner, workspaces: Workspaces
) -> None:
    large = [b"x" * 200_000] * (SCAN_LIMIT // 200_000 + 2)
    strict = Files(sessions, LocalFileStore(folder), scanner, ScanPolicy.REQUIRED)
    with pytest.raises(TooLargeToScan) as raised:
        await strict.upload(workspaces[0], ANN, Upload("a.txt", pieces(*large)))
    assert on_disk(folder) == []
    assert not [each.path for each in psutil.Process().open_files() if str(folder) in each.path], raised.value
    lenient = Files(sessions, LocalFileStore(folder), scanner)
    assert (await lenient.upload(workspaces[0], ANN, Upload("a.txt", pieces(*large)))).scan == "NONE"


async def test_f10_a_file_is_refused_while_it_arrives(
    sessions: WorkspaceDatabase, folder: Path, scanner: ClamdScanner, workspaces: Workspaces
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100_000
            yield b"x" * 100_000

    small = Files(sessions, LocalFileStore(folder), scanner, quota=FileQuota(file_bytes=1_000_000))
    with pytest.raises(TooLarge):
        await small.upload(workspaces[0], ANN, Upload("a", endless()))
    assert sent <= 1_200_000
    assert on_disk(folder) == []


async def test_a_workspace_keeps_to_its_space(
    sessions: WorkspaceDatabase, folder: Path, scanner: ClamdScanner, workspaces: Workspaces
) -> None:
    tight = Files(sessions, LocalFileStore(folder), scanner, quota=FileQuota(workspace_bytes=10, files=3))
    await tight.upload(workspaces[0], ANN, Upload("a", pieces(b"1234567")))
    with pytest.raises(TooLarge):
        await tight.upload(workspaces[0], ANN, Upload("b", pieces(b"1234")))
    await tight.upload(workspaces[1], ANN, Upload("b", pieces(b"1234")))
    # Each alone would fit; together they do not, whichever comes first.
    both = await asyncio.gather(
        *(tight.upload(workspaces[0], ANN, Upload(name, pieces(b"12"))) for name in "cd"), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in both) == ["StoredFile", "TooLarge"]
    assert await tight.usage(workspaces[0]) == (2, 9)
    await tight.upload(workspaces[0], ANN, Upload("e", pieces(b"")))
    with pytest.raises(TooLarge):
        await tight.upload(workspaces[0], ANN, Upload("f", pieces(b"")))


async def test_an_upload_that_breaks_off_leaves_nothing(files: Files, workspaces: Workspaces, folder: Path) -> None:
    begun = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x" * 600_000
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(files.upload(workspaces[0], ANN, Upload("a", stalling())))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert on_disk(folder) == []
    assert await files.usage(workspaces[0]) == (0, 0)


async def test_f5_a_workspace_sees_only_its_own_files(files: Files, workspaces: Workspaces) -> None:
    mine, theirs = workspaces
    row = await files.upload(mine, ANN, Upload("a.txt", pieces(b"secret")))
    id = FileId(row.id)
    for call in (
        files.get(theirs, id),
        files.fetch(theirs, id, 100),
        files.delete(theirs, id),
        files.get(mine, FileId(uuid4())),
    ):
        with pytest.raises(NotFound):
            await call
    assert await files.listed(theirs, Page()) == ([], 0)
    assert await files.fetch(mine, id, 100) == ("a.txt", b"secret")
    with pytest.raises(TooLarge):
        await files.fetch(mine, id, 5)


async def test_lists_are_paged_and_searched(files: Files, workspaces: Workspaces) -> None:
    for number in range(5):
        await files.upload(workspaces[0], ANN, Upload(f"report_{number}.txt", pieces(b"x")))
    await files.upload(workspaces[0], ANN, Upload("100%.txt", pieces(b"x")))
    rows, total = await files.listed(workspaces[0], Page(2, 2))
    assert ([row.name for row in rows], total) == (["report_3.txt", "report_2.txt"], 6)
    assert (await files.listed(workspaces[0], Page(), "REPORT"))[1] == 5
    assert [row.name for row in (await files.listed(workspaces[0], Page(), "0%"))[0]] == ["100%.txt"]


async def test_a_deleted_file_is_gone(files: Files, workspaces: Workspaces, folder: Path) -> None:
    row = await files.upload(workspaces[0], ANN, Upload("a.txt", pieces(b"x")))
    await files.delete(workspaces[0], FileId(row.id))
    assert on_disk(folder) == []
    with pytest.raises(NotFound):
        await files.delete(workspaces[0], FileId(row.id))


async def test_files_go_when_their_time_is_over_and_so_do_remains_of_uploads(
    files: Files, workspaces: Workspaces, folder: Path, database: DatabaseUrls
) -> None:
    kept = await files.upload(workspaces[0], ANN, Upload("kept", pieces(b"x")))
    brief = await files.upload(workspaces[0], ANN, Upload("brief", pieces(b"y"), timedelta(hours=1)))
    assert brief.expires_at is not None
    assert brief.expires_at - brief.created_at == timedelta(hours=1)
    left = await files.upload(workspaces[0], ANN, Upload("left", pieces(b"z")))
    owner = await asyncpg.connect(database.owner)
    try:
        await owner.execute("UPDATE files SET expires_at = now() WHERE id = $1", brief.id)
        await owner.execute(
            "UPDATE files SET status = 'ARRIVING', created_at = now() - interval '2 days' WHERE id = $1", left.id
        )
    finally:
        await owner.close()
    with pytest.raises(NotFound):
        await files.get(workspaces[0], FileId(brief.id))
    async with asyncpg.create_pool(database.engine, min_size=1, max_size=1) as pool:
        assert await sweep_files(pool, LocalFileStore(folder)) == 2
    assert on_disk(folder) == [f"{kept.place.hex[-2:]}/{kept.place.hex}"]


async def test_an_idempotency_key_brings_one_file(files: Files, workspaces: Workspaces) -> None:
    first = await files.upload(workspaces[0], ANN, Upload("a", pieces(b"x"), idempotency_key="k"))
    again = await files.repeated(workspaces[0], "k")
    assert again is not None
    assert again.id == first.id
    assert await files.repeated(workspaces[1], "k") is None
    with pytest.raises(Conflict):
        await files.upload(workspaces[0], ANN, Upload("a", pieces(b"x"), idempotency_key="k"))
    assert (await files.get(workspaces[0], FileId(first.id))).id == first.id
