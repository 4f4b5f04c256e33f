"""Files of runs and agent files that attack whoever reads them (cases F2 to F7, F14)."""

import asyncio
import gzip
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from treadle.blocks.catalogue import WORKER_FUNCTIONS
from treadle.blocks.files import read_file
from treadle.blocks.spreadsheets import read_spreadsheet
from treadle.features.graphs.errors import BadAgentFile
from treadle.features.graphs.reader import read_agent_file
from treadle.sdk.compute import ComputePool
from treadle.sdk.errors import BlockError
from treadle.sdk.files import ScratchFiles
from treadle.sdk.testing import ScriptedHttp, ScriptedReply, SentRequest, make_context, run_block

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAMES = (
    "../../x",
    "..\\..\\x",
    "..%2f..%2fx",
    "%252e%252e%252fx",
    "/etc/passwd",
    "//etc/passwd",
    "C:\\Windows\\win.ini",
    "C:x",
    "\\\\host\\share\\x",
    "a\x00.png",
    "a" * 300,
    "é" * 300,
    ".",
    "..",
    "...",
    ".bashrc",
    "CON",
    "nul.txt",
    "a\n.txt",
    "a:stream",
    "‮txt.exe",
    "file:///etc/passwd",
    "s3://other/x",
)


def _given(reply: ScriptedReply, request: SentRequest) -> ScriptedReply:
    return reply


def scratch(folder: Path, *replies: ScriptedReply) -> ScratchFiles:
    return ScratchFiles(folder / "run" / "files", ScriptedHttp([partial(_given, each) for each in replies]))


def outside(folder: Path) -> list[str]:
    """What lies in the folder beside the run's own files."""
    own = folder / "run" / "files"
    return [str(each) for each in folder.rglob("*") if each.is_file() and own not in each.parents]


@pytest.mark.parametrize("name", NAMES)
async def test_f2_written_names_stay_in_the_runs_folder(tmp_path: Path, name: str) -> None:
    files = scratch(tmp_path)
    kept = await files.write(name, b"content")
    assert await files.read(kept) == b"content"
    assert outside(tmp_path) == []
    assert "/" not in kept
    assert len(kept.encode()) < 200


@pytest.mark.parametrize("name", NAMES)
async def test_f4_names_that_servers_give_stay_there_too(tmp_path: Path, name: str) -> None:
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-type": "text/plain"}
    files = scratch(tmp_path, ScriptedReply(b"content", headers=headers, url=f"https://files.example/{name}"))
    kept = await files.store(f"https://files.example/{name}")
    assert await files.read(kept) == b"content"
    assert outside(tmp_path) == []


@pytest.mark.parametrize("name", [*NAMES, "/proc/self/environ", "/dev/zero", "~/.ssh/id_rsa", "http:/etc/passwd"])
async def test_f5_nothing_else_can_be_read(tmp_path: Path, name: str) -> None:
    files = scratch(tmp_path)
    await files.write("own.txt", b"x")
    with pytest.raises(BlockError):
        await run_block(read_file, {"file_input": name}, make_context(files=files))


async def test_f5_a_file_that_turns_into_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("canary")
    files = scratch(tmp_path)
    name = await files.write("own.txt", b"own")
    own = tmp_path / "run" / "files" / name

    async def swap() -> None:
        for _ in range(200):
            own.unlink()
            own.symlink_to(secret)
            await asyncio.sleep(0)
            own.unlink()
            own.write_bytes(b"own")
            await asyncio.sleep(0)

    async def read() -> set[bytes]:
        seen = set()
        while not swapping.done():
            try:
                seen.add(await files.read(name))
            except BlockError:
                await asyncio.sleep(0)
        return seen

    swapping = asyncio.create_task(swap())
    seen = await read()
    await swapping
    assert not any(b"canary" in each for each in seen)


@pytest.mark.parametrize("kind", ["fifo", "folder"])
async def test_f7_only_plain_files_are_read(tmp_path: Path, kind: str) -> None:
    files = scratch(tmp_path)
    await files.write("own.txt", b"own")
    odd = tmp_path / "run" / "files" / "odd"
    os.mkfifo(odd) if kind == "fifo" else odd.mkdir()
    with pytest.raises(BlockError, match="not a plain file"):
        await files.read("odd")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ComputePool]:
    compute = ComputePool(WORKER_FUNCTIONS)
    yield compute
    await compute.aclose()


def workbook(sheet: bytes, *more: tuple[str, bytes]) -> bytes:
    """An archive that looks like a spreadsheet."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "xl/workbook.xml",
            '<workbook xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
            '<sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            '<Relationships><Relationship Id="r1" Target="worksheets/sheet1.xml" Type="http://schemas.openxmlformats.'
            'org/officeDocument/2006/relationships/worksheet"/></Relationships>',
        )
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
        for name, content in more:
            archive.writestr(name, content)
    return data.getvalue()


CELL = b'<c t="inlineStr"><is><t>' + b"x" * 32_000 + b"</t></is></c>"
BOMBS = {
    "one huge sheet": workbook(b"<worksheet><sheetData>" + b" " * 600_000_000 + b"</sheetData></worksheet>"),
    "huge texts": workbook(
        b"<worksheet><sheetData>" + (b"<row>" + CELL * 50 + b"</row>") * 300 + b"</sheetData></worksheet>"
    ),
    "a far cell": workbook(
        b'<worksheet><sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
    ),
    "entities": workbook(
        b'<!DOCTYPE x [<!ENTITY a "'
        + b"a" * 1000
        + b'"><!ENTITY b "'
        + b"&a;" * 1000
        + b'"><!ENTITY c "'
        + b"&b;" * 1000
        + b'">]><worksheet><sheetData><row><c t="inlineStr"><is><t>&c;</t></is></c></row></sheetData></worksheet>'
    ),
    "a file of the host": workbook(
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><worksheet><sheetData><row><c t="inlineStr"><is>'
        b"<t>&a;</t></is></c></row></sheetData></worksheet>"
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_f6_spreadsheets_that_unpack_to_more_than_they_should(
    tmp_path: Path, pool: ComputePool, bomb: str
) -> None:
    files = scratch(tmp_path)
    name = await files.write("book.xlsx", BOMBS[bomb])
    try:
        outputs = await run_block(read_spreadsheet, {"file_input": name}, make_context(files=files, compute=pool))
    except BlockError as error:
        assert error.message
        return
    assert len(str(outputs)) < 20_000_000
    assert "root:" not in str(outputs)


async def test_f7_members_of_archives_are_never_written(tmp_path: Path, pool: ComputePool) -> None:
    files = scratch(tmp_path)
    content = workbook(b"<worksheet><sheetData/></worksheet>", ("../../escaped.txt", b"x"), ("/escaped.txt", b"x"))
    name = await files.write("book.xlsx", content)
    try:
        await run_block(read_spreadsheet, {"file_input": name}, make_context(files=files, compute=pool))
    except BlockError as error:
        assert error.message
    assert outside(tmp_path) == []
    assert [each.name for each in (tmp_path / "run" / "files").iterdir()] == [name]


def document(**keys: Any) -> dict[str, Any]:
    return {"name": "A", "nodes": [{"id": "n", "block_id": "b", "input_default": keys}], "links": []}


HOSTILE = {
    "deep lists": b'{"nodes": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"nodes": [], "a": ' + b'{"a": ' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "too large": b" " * 110_000_000,
    "not closed": b"[" * 1_000_000,
    "wrong nodes": b'{"nodes": 1e400}',
    "packed": gzip.compress(b"0" * 1_000_000),
    "nul": b"\x00" * 1000,
    "half letters": b'{"nodes": "\xff\xfe"}',
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
async def test_f14_agent_files_that_are_refused(data: bytes) -> None:
    with pytest.raises(BadAgentFile) as caught:
        read_agent_file(data, name="agent.json")
    assert caught.value.fix
    assert len(caught.value.message) < 5_000


ODD = {
    "many keys": json.dumps(document(**{f"k{number}": 1 for number in range(200_000)})).encode(),
    "large number": json.dumps(document(a=1)).encode().replace(b": 1}", b": " + b"9" * 10_000 + b"}"),
    "infinity": json.dumps(document(a=float("inf"))).encode(),
    "not a number": json.dumps(document(a=float("nan"))).encode(),
    "half a pair": json.dumps(document(a="\ud800")).encode(),
    "key twice": b'{"name": "A", "name": "B", "nodes": [{"id": "n", "block_id": "b"}], "links": []}',
    "names of methods": json.dumps(document(__class__="x", __proto__={"a": 1}, constructor={"b": 2})).encode(),
    "a format of others": json.dumps(document(lc=1, type="constructor", id=["os", "system"])).encode(),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
async def test_f14_odd_agent_files_are_read_or_refused_with_a_reason(data: bytes) -> None:
    try:
        agent = read_agent_file(data, name="agent.json")
    except BadAgentFile as error:
        assert error.fix
        return
    assert [each.id for each in agent.nodes] == ["n"]
    assert type(agent.nodes[0].input_default) is dict
