"""Live events across real deaths: sockets watch runs while the server is stopped and killed, and workers are killed."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.sync.client import connect

from tests.main.installs import OUTPUT, agent
from tests.main.servers import SECONDS, Server, environment, started

WAIT = "79b5755b-49f7-4e84-aa27-7b0b059bd054"
STEPS = 120
SLOW = agent(
    {**{f"n{i}": (WAIT, {"data": 0, "seconds": 0.15}) for i in range(STEPS)}, "out": (OUTPUT, {"name": "o"})},
    [(f"n{i}", "data", f"n{i + 1}", "data") for i in range(STEPS - 1)] + [(f"n{STEPS - 1}", "data", "out", "value")],
    name="slow",
)
OVER = ("execution.completed", "execution.failed")


class Viewer:
    """Watches a run from a thread of its own, over as many connections as that takes."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.server: Server | None = None
        """Whom to ask; None while there is none."""
        self.numbers: list[int] = []
        self.kinds: list[str] = []
        self.connections = 0
        self.closed: list[int] = []
        """Codes with which connections have ended."""
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        self._given_up.set()
        self._thread.join(SECONDS)

    @property
    def is_over(self) -> bool:
        return bool(self.kinds) and self.kinds[-1] in OVER

    def _watch(self) -> None:
        while not self.is_over and not self._given_up.wait(0.05):
            server = self.server
            if server is not None:
                with contextlib.suppress(OSError, websockets.InvalidHandshake, websockets.InvalidMessage):
                    self._listen(server)

    def _listen(self, server: Server) -> None:
        protocols = [websockets.Subprotocol("treadle.v1"), websockets.Subprotocol(f"treadle.bearer.{server.token}")]
        with connect(f"ws://127.0.0.1:{server.port}/ws", subprotocols=protocols, proxy=None) as connection:
            self.connections += 1
            after = self.numbers[-1] if self.numbers else 0
            connection.send(json.dumps({"type": "subscribe", "execution_id": self.id, "after": after}))
            try:
                while not self.is_over and not self._given_up.is_set():
                    self._hear(json.loads(connection.recv(SECONDS)))
            except websockets.ConnectionClosed as closed:
                self.closed.append(closed.rcvd.code if closed.rcvd else 1006)

    def _hear(self, message: dict[str, Any]) -> None:
        if "seq" in message:
            self.numbers.append(message["seq"])
            self.kinds.append(message["type"])


@contextlib.contextmanager
def executor(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """One more worker, once it works."""
    process = subprocess.Popen(
        [sys.executable, "-m", "treadle.main.cli", "executor"],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout:
            assert "runs what is queued" in process.stdout.readline()
            yield process
    finally:
        process.kill()
        process.wait(SECONDS)


@contextlib.contextmanager
def watched(ids: list[str]) -> Iterator[list[Viewer]]:
    """Two viewers of each run."""
    viewers = [Viewer(id) for id in ids for _ in range(2)]
    try:
        yield viewers
    finally:
        for each in viewers:
            each.leave()


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _seen(viewers: list[Viewer], server: Server, more: int) -> None:
    """Let the viewers ask the server, until each has seen so many events more, or the end."""
    wanted = [len(each.numbers) + more for each in viewers]
    for each in viewers:
        each.server = server
    _until(lambda: all(len(one.numbers) >= least or one.is_over for one, least in zip(viewers, wanted, strict=True)))


@pytest.mark.timeout(300)  # it starts six processes one after the other
def test_whoever_watches_misses_nothing_when_servers_stop_and_workers_are_killed(home: Path) -> None:
    with started(home) as server:
        graph = server.call("POST", "/api/v2/builder/graphs", json=SLOW).json()["id"]
        path = f"/api/v2/builder/graphs/{graph}/execute"
        ids = [server.call("POST", path, json={"input_data": {}}).json()["execution_id"] for _ in range(3)]
        with watched(ids) as viewers, executor(home) as first, executor(home) as second:
            _seen(viewers, server, 10)
            assert server.end(signal.SIGTERM) == 0
            _until(lambda: all(each.closed for each in viewers))
            assert {each.closed[0] for each in viewers} == {1001}
            with started(home) as again:
                _seen(viewers, again, 10)
                first.send_signal(signal.SIGKILL)
                _seen(viewers, again, 10)
                again.end(signal.SIGKILL)
            with started(home) as last:
                _seen(viewers, last, 10)
                second.send_signal(signal.SIGKILL)
                _until(lambda: all(each.is_over for each in viewers))
                _check(viewers, last)


def _check(viewers: list[Viewer], server: Server) -> None:
    """Everybody has been told what somebody is told who asks when all is over."""
    for viewer in viewers:
        late = Viewer(viewer.id)
        late.server = server
        _until(lambda late=late: late.is_over)  # type: ignore[misc]
        late.leave()
        assert viewer.numbers == late.numbers
        assert viewer.kinds == late.kinds
        assert viewer.kinds[-1] == "execution.completed"
        assert viewer.connections >= 2
