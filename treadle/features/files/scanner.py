"""Files are looked at for malware by ClamAV's daemon, over its own protocol (clamd(8), INSTREAM)."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol

from treadle.features.files.errors import ScannerUnavailable, TooLargeToScan

_ANSWER_SECONDS = 120.0
_CONNECT_SECONDS = 5.0
_AT_ONCE = 5
_LONGEST_ANSWER = 4096


class ScanPolicy(StrEnum):
    """What happens to files when the scanner is not there, or does not take a file of that size."""

    REQUIRED = "required"
    """They are refused."""
    IF_AVAILABLE = "if_available"
    """They are taken, and marked as not scanned."""
    OFF = "off"
    """Nothing is scanned."""


class Scanner(Protocol):
    """Looks at the content of a file."""

    async def scan(self, content: AsyncIterator[bytes]) -> str:
        """The name of what was found; empty when nothing was.

        Raises:
            ScannerUnavailable: it does not answer.
            TooLargeToScan: it does not take so much.
        """
        ...

    async def version(self) -> str:
        """What it is. Raises ``ScannerUnavailable``."""
        ...


class ClamdScanner:
    """A clamd at an address."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        # clamd has few threads: more files at once would only wait there, with their connections open.
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def scan(self, content: AsyncIterator[bytes]) -> str:
        async with self._turns, self._connection() as (reader, writer):
            # It may answer before the end, and hang up: who only listens afterwards would miss what it said.
            answer = asyncio.create_task(_answer(reader))
            try:
                with contextlib.suppress(ConnectionError):
                    await _send(writer, content, answer)
                return _found(await asyncio.wait_for(answer, _ANSWER_SECONDS))
            finally:
                answer.cancel()

    async def version(self) -> str:
        async with self._connection() as (reader, writer):
            writer.write(b"zVERSION\0")
            return await _answer(reader)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(self.host, self.port)
        except (OSError, TimeoutError) as error:
            raise _unavailable(f"no ClamAV answers at {self.host}:{self.port}") from error
        try:
            yield reader, writer
        except TimeoutError as error:
            raise _unavailable("ClamAV takes too long") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _send(writer: asyncio.StreamWriter, content: AsyncIterator[bytes], answer: "asyncio.Task[str]") -> None:
    writer.write(b"zINSTREAM\0")
    async for piece in content:
        if answer.done():
            return
        writer.write(struct.pack(">I", len(piece)) + piece)
        await asyncio.wait_for(writer.drain(), _ANSWER_SECONDS)
    writer.write(struct.pack(">I", 0))
    await asyncio.wait_for(writer.drain(), _ANSWER_SECONDS)


async def _answer(reader: asyncio.StreamReader) -> str:
    try:
        answer = await reader.readuntil(b"\0")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
        raise _unavailable("ClamAV broke off the connection") from error
    return answer[:_LONGEST_ANSWER].rstrip(b"\0\n").decode("utf-8", "replace")


def _found(answer: str) -> str:
    """From ``stream: OK``, ``stream: NAME FOUND`` or ``... ERROR``."""
    if answer == "stream: OK":
        return ""
    if answer.endswith(" FOUND"):
        return answer.removeprefix("stream: ").removesuffix(" FOUND")
    if "size limit exceeded" in answer:
        raise TooLargeToScan("The file is larger than the virus scanner takes.", fix="Send a smaller file.")
    raise _unavailable(f"ClamAV said: {answer}")


def _unavailable(what: str) -> ScannerUnavailable:
    return ScannerUnavailable(
        f"The file cannot be scanned: {what}.",
        fix="Try again later; the operator sets CLAMAV_HOST and TREADLE_SCAN_UPLOADS.",
    )
