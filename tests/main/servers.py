"""``treadle up`` as a real process, for tests that need a whole server."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
_SETTINGS = ("TREADLE_", "DATABASE_", "LOG_", "SMTP_", "SUPABASE_", "SIGN_IN_", "PUBLIC_URL")
SECONDS = 60.0
"""Longer than anything takes on a busy machine."""


@contextlib.contextmanager
def new_home() -> Iterator[Path]:
    """An empty data folder, gone afterwards. Not below pytest's own: as root PostgreSQL's user could not enter that."""
    folder = Path(tempfile.mkdtemp(prefix="treadle-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def environment(home: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    ours = {"TREADLE_HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return {**kept, **ours, **(settings or {})}


@dataclass(slots=True)
class Server:
    """A started ``treadle up``."""

    process: "subprocess.Popen[str]"
    home: Path
    port: int

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return httpx.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=SECONDS, trust_env=False, **options
        )

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(SECONDS)


@contextlib.contextmanager
def started(home: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """``treadle up``, once it answers; with ``settings``, variables of the environment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (home / "up.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "treadle.main.cli", "up", "--port", str(port), *arguments],
            cwd=home,
            env=environment(home, settings),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    server = Server(process, home, port)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        if process.poll() is None:
            server.end(signal.SIGTERM)


def treadle(
    home: Path, *arguments: str, settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """A command, to its end."""
    command = [sys.executable, "-m", "treadle.main.cli", *arguments]
    return subprocess.run(
        command,
        cwd=home,
        env=environment(home, settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def _wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{server.port}/health", trust_env=False).raise_for_status()
            return
        time.sleep(0.05)
    pytest.fail((server.home / "up.log").read_text())
