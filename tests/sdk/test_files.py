"""The files of a run: nothing outside can be named, links are refused, sizes are capped, types are checked."""

import base64
import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.errors import NotFound
from treadle.sdk.errors import BlockError, RetryLater
from treadle.sdk.files import FileLimits, ScratchFiles, safe_name
from treadle.sdk.testing import ScriptedHttp, ScriptedReply

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 8
HTML = b"<!DOCTYPE html><html></html>"


def scratch(folder: Path, *answers: Any, limits: FileLimits | None = None) -> ScratchFiles:
    handlers = [lambda request, answer=answer: answer for answer in answers]
    return ScratchFiles(folder / "run", ScriptedHttp(handlers), limits=limits)


def uri(content: bytes, kind: str = "text/plain") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@given(st.text(max_size=400))
def test_a_safe_name_is_one_plain_name(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..")
    assert not any(mark in safe for mark in "/\\\x00:")
    assert Path("/folder", safe).parent == Path("/folder")
    assert len(safe.encode()) <= 140
    assert safe_name(safe) == safe


@pytest.mark.parametrize("name", ["", ".", "..", "...", " ", "con", "NUL.txt", "lpt1"])
def test_names_without_a_safe_form_are_replaced(name: str) -> None:
    assert safe_name(name).startswith("file_")


async def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    files = scratch(tmp_path)
    assert await files.write("sub/a.txt", b"one") == "sub_a.txt"
    assert await files.read("sub/a.txt") == b"one"
    assert await files.write("sub_a.txt", b"two") == "sub_a.txt"
    assert await files.store("sub_a.txt", return_content=True) == uri(b"two")
    assert files.path("sub_a.txt") == str(tmp_path / "run" / "sub_a.txt")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..\\secret", "file:///etc/passwd", "%2e%2e/secret", "."])
async def test_nothing_outside_can_be_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("s")
    files = scratch(tmp_path)
    await files.write("here", b"")
    for read in (files.read, files.store):
        with pytest.raises(BlockError, match="no file"):
            await read(name)
    with pytest.raises(BlockError, match="no file"):
        files.path(name)


@pytest.mark.parametrize("link", [os.symlink, os.link])
async def test_links_are_refused(tmp_path: Path, link: Any) -> None:
    (tmp_path / "secret").write_text("s")
    files = scratch(tmp_path)
    await files.write("here", b"")
    link(tmp_path / "secret", tmp_path / "run" / "innocent.txt")
    with pytest.raises(BlockError, match="not a plain file"):
        await files.read("innocent.txt")
    with pytest.raises(BlockError, match="not a plain file"):
        files.path("innocent.txt")
    await files.write("innocent.txt", b"mine")
    assert (tmp_path / "secret").read_text() == "s"
    assert await files.read("innocent.txt") == b"mine"


async def test_caps(tmp_path: Path) -> None:
    files = scratch(tmp_path, limits=FileLimits(file_bytes=10, total_bytes=15, files=2))
    with pytest.raises(BlockError, match="larger than 10 bytes"):
        await files.write("a", b"x" * 11)
    await files.write("a", b"x" * 10)
    with pytest.raises(BlockError, match="would pass 15 bytes"):
        await files.write("b", b"x" * 6)
    await files.write("b", b"x" * 5)
    with pytest.raises(BlockError, match="keeps 2 files"):
        await files.write("c", b"")


async def test_the_folder_goes_with_its_files(tmp_path: Path) -> None:
    files = scratch(tmp_path)
    await files.write("a", b"")
    await files.remove()
    assert not (tmp_path / "run").exists()
    await files.remove()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("data:text/plain,raw", "cannot be read"),
        ("data:;base64,aGk=", "cannot be read"),
        ("data:text/plain;base64,aG*k=", "is not base64"),
        ("data:text/plain;base64,aGk", "is not base64"),
    ],
)
async def test_data_uris_that_are_refused(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(BlockError, match=said):
        await scratch(tmp_path).store(source)


async def test_data_uris_may_have_parameters_and_line_ends(tmp_path: Path) -> None:
    files = scratch(tmp_path)
    assert await files.read(await files.store("data:text/plain;charset=utf-8;base64,aG\r\n k=")) == b"hi"


@pytest.mark.parametrize(
    ("claimed", "content", "suffix"),
    [
        ("image/png", HTML, ".html"),
        ("image/jpeg", PNG, ".png"),
        ("text/plain", PNG, ".png"),
        ("text/plain", HTML, ".txt"),
        ("audio/mpeg", b"\x00\x00\x00", ".mp3"),
        ("application/pdf", b"MZ\x90\x00", ".exe"),
    ],
)
async def test_data_uris_get_the_ending_of_their_content(
    tmp_path: Path, claimed: str, content: bytes, suffix: str
) -> None:
    assert Path(await scratch(tmp_path).store(uri(content, claimed))).suffix == suffix


@pytest.mark.parametrize(
    ("url", "kind", "content", "name"),
    [
        ("https://x.test/a/photo.png?size=1", "image/png", PNG, "photo.png"),
        ("https://x.test/photo.png", "image/png", HTML, "photo.html"),
        ("https://x.test/photo.png", "image/png", b"#!/bin/sh", "photo.bin"),
        ("https://x.test/photo", "image/png", PNG, "photo.png"),
        ("https://x.test/report.docx", "", b"PK\x03\x04", "report.docx"),
        ("https://x.test/notes.txt", "text/plain", b"\x7fELF", "notes.elf"),
        ("https://x.test/..%2F..%2Fetc%2Fpasswd", "text/plain", b"x", "passwd.txt"),
        ("https://x.test/page.html", "text/html", b"hello", "page.html"),
    ],
)
async def test_names_of_files_from_the_web(tmp_path: Path, url: str, kind: str, content: bytes, name: str) -> None:
    answer = ScriptedReply(content, headers={"content-type": kind}, url=url)
    assert await scratch(tmp_path, answer).store(url) == name


async def test_a_second_file_of_the_same_name_does_not_replace_the_first(tmp_path: Path) -> None:
    files = scratch(tmp_path, *(ScriptedReply(each, url="https://x.test/a.txt") for each in (b"one", b"two")))
    first, second = await files.store("https://x.test/a.txt"), await files.store("https://x.test/a.txt")
    assert (await files.read(first), await files.read(second)) == (b"one", b"two")


@pytest.mark.parametrize(("status", "kind"), [(404, BlockError), (429, RetryLater), (503, RetryLater)])
async def test_answers_that_are_no_file(tmp_path: Path, status: int, kind: type[BlockError]) -> None:
    with pytest.raises(kind, match=f"status {status}") as failure:
        await scratch(tmp_path, ScriptedReply(b"", status=status)).store("https://user:pass@x.test/a?key=secret")
    assert type(failure.value) is kind
    assert "secret" not in str(failure.value)
    assert "pass" not in str(failure.value)


async def test_downloads_are_capped(tmp_path: Path) -> None:
    files = scratch(tmp_path, ScriptedReply(b"x" * 11), limits=FileLimits(file_bytes=10))
    with pytest.raises(BlockError, match="larger than 10"):
        await files.store("https://x.test/a.txt")


async def test_uploads_of_the_workspace_come_in_by_their_id(tmp_path: Path) -> None:
    id = uuid4()

    async def uploads(asked: UUID, largest: int) -> tuple[str, bytes]:
        assert largest == 50
        if asked != id:
            raise NotFound("There is no such file.", fix="Upload it.")
        return "letter.txt", b"Dear Ann"

    files = ScratchFiles(tmp_path / "run", ScriptedHttp([]), limits=FileLimits(file_bytes=50), uploads=uploads)
    assert await files.store(f"treadle-file:{id}") == "letter.txt"
    assert await files.read("letter.txt") == b"Dear Ann"
    second = await files.store(f"treadle-file:{id}")
    assert second.endswith("_letter.txt")
    for source in (f"treadle-file:{uuid4()}", "treadle-file:", "treadle-file:../../etc/passwd"):
        with pytest.raises(BlockError):
            await files.store(source)
    with pytest.raises(BlockError):
        await ScratchFiles(tmp_path / "other", ScriptedHttp([])).store(f"treadle-file:{id}")
