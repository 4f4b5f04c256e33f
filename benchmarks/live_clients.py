"""Clients that watch runs, and cost little: ``python -m benchmarks.live_clients`` with what to do as JSON on its input.

Each holds one connection, a WebSocket or a stream of server-sent events, on which it watches one run. The runs' outputs
say when they were sent, by the clock of the machine that all its processes share. Says ``connected`` when all of them
watch; then, for each span of time, prints how long its events took, as one line of JSON. Written for this one use:
frames of a server that neither masks nor splits them, streams in chunks.
"""

import asyncio
import json
import os
import re
import struct
import sys
import time
from base64 import b64encode
from dataclasses import asdict, dataclass, field
from typing import cast

import msgspec
import uvloop

_AT_ONCE = 100
"""Connections that are made side by side."""
_CONNECT_SECONDS = 120.0
"""For all of them."""
_SETTLE_SECONDS = 2.0
"""After the last one has connected: what it had missed is told by then."""
_LATE_SECONDS = 2.0
"""For how long the events of a span are waited for after its end."""
_SENT = re.compile(rb'"seq":(\d+),.*?"name":"value","value":(\d+)')
_END = b"\r\n\r\n"
_TEXT = 0x81


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the clients are to do."""

    port: int
    token: str
    executions: list[str]
    each: int
    """Clients of every execution."""
    seconds: float
    """Of one span."""
    spans: int
    sockets: bool
    """Over WebSockets; else over server-sent events."""


@dataclass(slots=True)
class Seen:
    """What the clients were sent of the events of one span."""

    milliseconds: list[float]
    """From the node's output until a client had it."""
    events: int
    """How many different ones."""
    failure: str = ""


@dataclass(slots=True)
class Watch:
    """What one client has been given."""

    execution: str
    last: int = 0
    """Number of the last event."""
    sent: list[tuple[int, int, int]] = field(default_factory=list)
    """(its number, when it was sent, when it came), in nanoseconds."""
    failure: str = ""
    watches: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first thing that the server tells of the execution."""

    def told(self, text: bytes) -> None:
        """A message of the server."""
        now = time.monotonic_ns()
        if text.startswith(b'{"type":"execution.'):
            self.watches.set()
            found = _SENT.search(text)
            if found is not None:
                number = int(found[1])
                if self.last and number != self.last + 1:
                    self.failure = self.failure or f"event {number} came after {self.last}"
                self.last = number
                self.sent.append((number, int(found[2]), now))
        elif text.startswith(b'{"type":"error"'):
            self.failure = self.failure or text.decode()


class Connection(asyncio.Protocol):
    """One client: asks for the upgrade or the stream, and takes what comes."""

    def __init__(self, watch: Watch, head: bytes, first: bytes, status: bytes) -> None:
        self._watch = watch
        self._head = head
        self._first = first
        """What is said once the server has agreed."""
        self._status = status
        self._received = bytearray()
        self._agreed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self.transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._agreed:
            end = self._received.find(_END)
            if end < 0:
                return
            if not self._received.startswith(self._status):
                self._fail(self._received[:500].decode("latin-1"))
            self._agreed = True
            del self._received[: end + len(_END)]
            if self._first:
                self.transport.write(self._first)
        del self._received[: self.taken(self._received)]

    def taken(self, received: bytearray) -> int:
        """Take the messages that are whole; how many bytes they were."""
        raise NotImplementedError

    def message(self, text: bytes) -> None:
        self._watch.told(text)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection ended: {exc}")

    def _fail(self, why: str) -> None:
        self._watch.failure = self._watch.failure or why
        self._watch.watches.set()


class Socket(Connection):
    """A WebSocket."""

    def taken(self, received: bytearray) -> int:
        at = 0
        while len(received) >= at + 2:
            length, body = received[at + 1], at + 2
            if length == 126:
                length, body = int.from_bytes(received[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, body = int.from_bytes(received[at + 2 : at + 10], "big"), at + 10
            if len(received) < body + length:
                break
            if received[at] == _TEXT:
                self.message(bytes(received[body : body + length]))
            at = body + length
        return at


class Stream(Connection):
    """Server-sent events. The sizes of chunks are lines like any other, and mean nothing here."""

    def taken(self, received: bytearray) -> int:
        end = received.rfind(b"\n") + 1
        for line in bytes(received[:end]).split(b"\n"):
            if line.startswith(b"data: "):
                self.message(line[6:])
        return end


def _connection(wanted: Wanted, watch: Watch) -> Connection:
    if not wanted.sockets:
        head = [
            f"GET /api/v2/executions/{watch.execution}/stream HTTP/1.1",
            f"Host: 127.0.0.1:{wanted.port}",
            f"Authorization: Bearer {wanted.token}",
            "\r\n",
        ]
        return Stream(watch, "\r\n".join(head).encode(), b"", b"HTTP/1.1 200")
    head = [
        "GET /ws HTTP/1.1",
        f"Host: 127.0.0.1:{wanted.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
        f"Sec-WebSocket-Protocol: treadle.v1, treadle.bearer.{wanted.token}",
        "\r\n",
    ]
    subscribe = json.dumps({"type": "subscribe", "execution_id": watch.execution}).encode()
    frame = struct.pack("!BB", _TEXT, 0x80 | len(subscribe)) + bytes(4) + subscribe  # the mask is nothing but zeros
    return Socket(watch, "\r\n".join(head).encode(), frame, b"HTTP/1.1 101")


async def watch_all(wanted: Wanted) -> list[Watch]:
    """Connect all clients, and wait until all of them watch."""
    loop = asyncio.get_running_loop()
    turns = asyncio.Semaphore(_AT_ONCE)

    async def connect(execution: str) -> Watch:
        watch = Watch(execution)
        async with turns:
            await loop.create_connection(lambda: _connection(wanted, watch), "127.0.0.1", wanted.port)
            await watch.watches.wait()
        return watch

    return await asyncio.gather(*(connect(id) for id in wanted.executions for _ in range(wanted.each)))


async def span(watches: list[Watch], seconds: float) -> Seen:
    """What is sent during some seconds, and how long each of it took."""
    begin = time.monotonic_ns()
    for watch in watches:
        watch.sent.clear()
    await asyncio.sleep(seconds)
    end = time.monotonic_ns()
    await asyncio.sleep(_LATE_SECONDS)
    taken: list[float] = []
    by_execution: dict[str, set[int]] = {}
    for watch in watches:
        inside = {number: came - sent for number, sent, came in watch.sent if begin <= sent < end}
        taken.extend(each / 1e6 for each in inside.values())
        same = by_execution.setdefault(watch.execution, set(inside))
        if same != set(inside):
            watch.failure = watch.failure or f"{len(same ^ set(inside))} events came to only one of two clients"
    failure = next((watch.failure for watch in watches if watch.failure), "")
    return Seen([round(each, 3) for each in taken], sum(map(len, by_execution.values())), failure)


async def main(wanted: Wanted) -> None:
    """Watch, and print what was seen."""
    async with asyncio.timeout(_CONNECT_SECONDS):
        watches = await watch_all(wanted)
    await asyncio.sleep(_SETTLE_SECONDS)
    print("connected", flush=True)
    for _ in range(wanted.spans):
        print(json.dumps(asdict(await span(watches, wanted.seconds))), flush=True)


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)))
