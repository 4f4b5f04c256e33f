"""clamd's protocol, against a real one and against one that misbehaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.features.files.conftest import pieces
from tests.scanner import EICAR, SCAN_LIMIT
from treadle.features.files.errors import ScannerUnavailable, TooLargeToScan
from treadle.features.files.scanner import ClamdScanner

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def test_what_is_clean_and_what_is_not(scanner: ClamdScanner) -> None:
    assert await scanner.scan(pieces()) == ""
    assert await scanner.scan(pieces(b"nothing", b" special")) == ""
    assert await scanner.scan(pieces(EICAR[:20], EICAR[20:])) == "Eicar-Test-Body.UNOFFICIAL"
    assert (await scanner.version()).startswith("ClamAV ")


async def test_what_is_too_large(scanner: ClamdScanner) -> None:
    with pytest.raises(TooLargeToScan):
        await scanner.scan(pieces(*[b"x" * 100_000] * (SCAN_LIMIT // 100_000 + 50)))


async def test_many_at_once(scanner: ClamdScanner) -> None:
    found = await asyncio.gather(*(scanner.scan(pieces(EICAR if each % 2 else b"x" * each)) for each in range(30)))
    assert [bool(each) for each in found] == [bool(each % 2) for each in range(30)]


@contextlib.asynccontextmanager
async def _pretender(talk: Talk) -> AsyncIterator[ClamdScanner]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield ClamdScanner("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    "answer", [b"", b"stream: ", b"INSTREAM: broken ERROR\0", b"x" * 100_000, b"stream: OK FOUNDX\0"]
)
async def test_an_answer_that_says_nothing_is_not_taken_for_clean(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\0\0\0\0")
        writer.write(answer)
        await writer.drain()

    async with _pretender(talk) as scanner:
        with pytest.raises(ScannerUnavailable):
            await scanner.scan(pieces(b"content"))


async def test_nobody_there() -> None:
    with pytest.raises(ScannerUnavailable) as refused:
        await ClamdScanner("127.0.0.1", 1).scan(pieces(b"x"))
    assert "CLAMAV_HOST" in refused.value.fix
