"""Large files over real HTTP."""

import asyncio
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Measured
from benchmarks.processes import MEGABYTE, postgres_processes, pss, with_children
from benchmarks.server import Server, running_server

_BOUNDARY = "the-boundary"
_HEAD = (
    f"--{_BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="file"; filename="large.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()
_PIECE = bytes(range(256)) * 4_096
_LOOK_SECONDS = 0.02


async def upload(home: Path, quick: bool) -> list[Measured]:
    """Memory of the server and its database while a file comes in, over what they held before; not scanned."""
    size = (100 if quick else 1_000) * MEGABYTE
    with running_server(home, TREADLE_SCAN_UPLOADS="off") as server:
        await asyncio.to_thread(_send, server, MEGABYTE)  # what is loaded once for all uploads
        more, rates = [], []
        for _ in range(1 if quick else 3):
            await asyncio.sleep(1)
            before = _memory(server)
            began = time.perf_counter()
            sending = asyncio.create_task(asyncio.to_thread(_send, server, size))
            most = before
            while not sending.done():
                await asyncio.wait({sending}, timeout=_LOOK_SECONDS)
                most = max(most, _memory(server))
            await sending
            rates.append(size / MEGABYTE / (time.perf_counter() - began))
            more.append(most - before)
        note = f"of {size // MEGABYTE} MB" if quick else ""
        return [Measured("upload-memory", more, note=note), Measured("upload", rates, note=note)]


def _memory(server: Server) -> float:
    return pss([*with_children(server.pid), *postgres_processes(server.home)])


def _send(server: Server, size: int) -> None:
    """Upload a file of that many bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    headers = {
        "Authorization": f"Bearer {server.token}",
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        "Content-Length": str(len(_HEAD) + size + len(_TAIL)),
    }
    connection.request("POST", "/api/v2/files/upload", _body(size), headers)
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    if answer.status != 201:
        raise RuntimeError(f"the upload was answered with {answer.status}: {told[:500].decode(errors='replace')}")


def _body(size: int) -> Iterator[bytes]:
    yield _HEAD
    left = size
    while left:
        piece = _PIECE[:left]
        left -= len(piece)
        yield piece
    yield _TAIL
