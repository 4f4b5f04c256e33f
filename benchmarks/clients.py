"""HTTP clients that cost little: ``python -m benchmarks.clients PORT AMOUNT SECONDS`` with one request on its input.

Each keeps its connection and sends the request again as soon as the answer is there. Written for this one use: an
answer must say its length, and its first line must be the expected one. Prints how many answers came, in which time,
and how long each took, as JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import cast

import uvloop

_LENGTH = b"content-length:"
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Told:
    """What a group of clients saw."""

    answers: int
    seconds: float
    milliseconds: list[float]
    """Of each answer, in no order."""
    sample: str
    """The body of one of them."""
    failure: str
    """The first answer that was not what it should be."""


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, deadline: float, done: "asyncio.Future[None]") -> None:
        self._request = request
        self._deadline = deadline
        self._done = done
        self._received = bytearray()
        self._missing = 0
        """Bytes of the answer's body that have not come, once its head has."""
        self._in_body = False
        self.times: list[float] = []
        self.sample = b""
        self.failure = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._in_body:
            end = self._received.find(_END)
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            if not head.startswith(b"http/1.1 200"):
                self.failure = self.failure or bytes(self._received[:2_000]).decode("latin-1")
            self._size = int(head.partition(_LENGTH)[2].split(b"\r", 1)[0])
            self._in_body = True
            self._start = end + len(_END)
        if len(self._received) >= self._start + self._size:
            self._answered()

    def _answered(self) -> None:
        now = time.perf_counter()
        self.times.append(1000 * (now - self._began))
        if not self.sample:
            self.sample = bytes(self._received[self._start :])
        self._received.clear()
        self._in_body = False
        if now < self._deadline and not self.failure:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._in_body or self._received:
            self.failure = self.failure or f"the connection ended within an answer: {exc}"
        if not self._done.done():
            self._done.set_result(None)


async def ask(port: int, amount: int, seconds: float, request: bytes) -> Told:
    """Let that many clients ask for some seconds."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients: list[Client] = []
    ends: list[asyncio.Future[None]] = []
    for _ in range(amount):
        ended: asyncio.Future[None] = loop.create_future()
        client = Client(request, began + seconds, ended)
        await loop.create_connection(lambda each=client: each, "127.0.0.1", port)  # type: ignore[misc]
        clients.append(client)
        ends.append(ended)
    await asyncio.gather(*ends)
    taken = time.perf_counter() - began
    times = [round(each, 3) for client in clients for each in client.times]
    failure = next((client.failure for client in clients if client.failure), "")
    sample = next((client.sample for client in clients if client.sample), b"")
    return Told(len(times), taken, times, sample.decode(errors="replace")[:1_000_000], failure)


def main(port: str, amount: str, seconds: str) -> None:
    """Ask, and print what was seen."""
    request = sys.stdin.buffer.read()
    told = uvloop.run(ask(int(port), int(amount), float(seconds), request))
    print(json.dumps({name: getattr(told, name) for name in Told.__slots__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
