"""Who reads too slowly is dropped, holds nobody up, and costs no memory; what was missed is there afterwards."""

import asyncio
import contextlib
import json
import re
import socket

import pytest
import websockets

from tests.engine.harness import plan_of, until
from tests.web.conftest import TOKEN
from tests.web.live.conftest import SECONDS, Live, Message
from treadle.base.ids import ExecutionId
from treadle.web.live import visitors
from treadle.web.live.socket import BEARER, PROTOCOL

TEXTS = 600
"""30 MB: more than systems hold for a connection that nobody reads."""
LONG = plan_of({"many": ("long_texts", {"value": TEXTS})})


def _narrow(port: int) -> socket.socket:
    """A connection whose own side holds little: some systems would take in all of it."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    made.settimeout(SECONDS)
    made.connect(("127.0.0.1", port))
    return made


class Sleeper:
    """A client that stops reading when it has subscribed, until it is woken."""

    def __init__(self, live: Live, id: ExecutionId) -> None:
        self._live = live
        self._id = id
        self.numbers: list[int] = []

    async def __aenter__(self) -> "Sleeper":
        self._connection = await websockets.connect(
            self._live.address,
            sock=_narrow(self._live.port),
            subprotocols=[websockets.Subprotocol(PROTOCOL), websockets.Subprotocol(BEARER + TOKEN)],
            max_queue=1,
            ping_interval=None,
            close_timeout=1,
        )
        await self._connection.send(json.dumps({"type": "subscribe", "execution_id": str(self._id)}))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def wake(self) -> None:
        """Read what is there, until the connection ends."""
        with pytest.raises(websockets.ConnectionClosedError):
            while True:
                message: Message = json.loads(await self._connection.recv())
                if "seq" in message:
                    self.numbers.append(message["seq"])


async def _numbers(live: Live, id: ExecutionId, after: int = 0) -> list[int]:
    """Numbers of all events after one, read at full speed."""
    async with live.talk() as talk:
        await talk.say("subscribe", execution_id=id, after=after)
        heard = await talk.hear_until("execution.completed")
        return [message["seq"] for message in heard if "seq" in message]


async def test_a_socket_that_stops_reading_is_dropped_and_goes_on_later(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "STALLED_SECONDS", 2.0)
    id = await live.submit(LONG)
    async with Sleeper(live, id) as sleeper:
        whole = await _numbers(live, id)
        assert len(whole) == TEXTS + 3
        await until(lambda: not len(live.site.visitors))
        await until(lambda: not live.site.feed.channels)
        await sleeper.wake()
    assert 0 < len(sleeper.numbers) < len(whole)
    assert sleeper.numbers + await _numbers(live, id, sleeper.numbers[-1]) == whole


_EVENT = re.compile(rb"id: (\d+)\n(?:[a-z]+: [^\n]*\n)*\n")


def _received(receiver: socket.socket) -> bytes:
    """What has come of the body of an answer, until its connection ended: perhaps only the beginning of a chunk."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := receiver.recv(1 << 20):
            pieces.append(piece)
    _, _, left = b"".join(pieces).partition(b"\r\n\r\n")
    body = b""
    while left:
        size, _, left = left.partition(b"\r\n")
        body += left[: int(size, 16)]
        left = left[int(size, 16) + 2 :]
    return body


async def test_a_stream_that_nobody_reads_is_dropped_and_goes_on_later(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "STALLED_SECONDS", 2.0)
    id = await live.submit(LONG)
    path = f"/api/v2/executions/{id}/stream"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with _narrow(live.port) as receiver:
        receiver.sendall(request.encode())
        await until(lambda: bool(len(live.site.visitors)))
        whole = await _numbers(live, id)
        assert len(whole) == TEXTS + 3
        await until(lambda: not len(live.site.visitors))
        numbers = [int(each) for each in _EVENT.findall(await asyncio.to_thread(_received, receiver))]
    assert 0 < len(numbers) < len(whole)
    rest = await live.streamed(path, **{"Last-Event-ID": str(numbers[-1])})
    assert numbers + [int(each["id"]) for each in rest if each["id"]] == whole
