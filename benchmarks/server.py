"""A server as people start it, to be measured from outside."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ports import free_port
from benchmarks.processes import postgres_processes, with_children

START_SECONDS = 90.0
_UP = "from treadle.main.cli import app; app()"
"""What the command ``treadle`` does."""
_BLOCKS = """
from benchmarks.agents import BLOCKS
from treadle.blocks import catalogue
catalogue.ALL_BLOCKS += BLOCKS
"""
"""Said before: the install has the blocks of the workloads, too."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running ``treadle up``."""

    pid: int
    port: int
    home: Path

    @property
    def token(self) -> str:
        """The token that its first start has made."""
        return (self.home / "token").read_text(encoding="utf-8").strip()

    @property
    def processes(self) -> list[psutil.Process]:
        """Its own, without those of its database."""
        database = {each.pid for each in postgres_processes(self.home)}
        return [each for each in with_children(self.pid) if each.pid not in database]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a successful answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", content, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def running_server(home: Path, *, more_blocks: bool = False, **settings: str) -> Iterator[Server]:
    """``treadle up`` on a data folder, from the moment at which it answers until the context ends.

    With ``more_blocks`` it has those that are made for measuring; ``settings`` are variables of its environment.
    """
    port = free_port()
    with (home / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _BLOCKS + _UP if more_blocks else _UP, "up"],
            env={**os.environ, "TREADLE_HOME": str(home), "TREADLE_PORT": str(port), **settings},
            cwd=home,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, home)
        yield Server(process.pid, port, home)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = (home / "up.log").read_text(errors="replace")[-500:]
            raise RuntimeError(f"treadle up ended with {process.returncode}: {tail}")
        if _answers(url):
            return
        time.sleep(0.01)
    raise RuntimeError(f"{url} did not answer within {START_SECONDS:.0f} seconds")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
