"""The server of a data folder: who it is, how it is found, and that there is one at most."""

import contextlib
import errno
import json
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from treadle.base.config import Settings
from treadle.base.errors import ConfigurationError, Conflict
from treadle.base.locks import is_locked, try_lock
from treadle.engine.worker import process_lives, process_name

_POLL_SECONDS = 0.05
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What may stand in the header of a request."""
_PORT_FIX = "Stop what uses that port, or choose another one with --port or TREADLE_PORT."
_PORT_FIXES = {
    errno.EADDRNOTAVAIL: "Set --host or TREADLE_HOST to an address of this machine, such as 127.0.0.1.",
    errno.EACCES: "Choose a port from 1024 on with --port or TREADLE_PORT; those below are the administrator's.",
}


@dataclass(frozen=True, slots=True)
class Instance:
    """A running server, as it has written it down."""

    pid: int
    process: str
    """Host, process id and start time: a reused id is not taken for the server."""
    url: str


def server_url(settings: Settings) -> str:
    """Where people reach the server that these settings make."""
    host = reachable(settings.host)
    shown = f"[{host}]" if ":" in host else host
    return settings.public_url or f"http://{shown}:{settings.port}"


def reachable(host: str) -> str:
    """An address of this machine at which a server that listens on ``host`` answers."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def _lock_file(home: Path) -> Path:
    return home / "server.lock"


def _note_file(home: Path) -> Path:
    return home / "server.json"


@contextlib.contextmanager
def the_only_server(home: Path, url: str) -> Iterator[None]:
    """Be the server of this data folder for as long as the context lasts.

    Raises:
        Conflict: there is one.
    """
    held = try_lock(_lock_file(home))
    if held is None:
        running = _read(home)
        where = f" at {running.url}" if running else ""
        raise Conflict(
            f"Treadle is already running{where} with the data in {home}.",
            fix="Use that one, stop it with `treadle down`, or set TREADLE_HOME to another folder.",
        )
    note = _note_file(home)
    try:
        note.write_text(json.dumps(asdict(Instance(os.getpid(), process_name(), url))), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        os.close(held)


def running_instance(home: Path) -> Instance | None:
    """The server of this data folder, if it lives."""
    if not _lock_file(home).exists() or not is_locked(_lock_file(home)):
        return None
    found = _read(home)
    return found if found is not None and process_lives(found.process) else None


def stop_instance(home: Path, seconds: float) -> bool:
    """Ask the server to stop and wait until it has; False when there is none.

    Raises:
        Conflict: it has not stopped in time.
    """
    running = running_instance(home)
    if running is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while is_locked(_lock_file(home)):
        if time.monotonic() > deadline:
            raise Conflict(
                f"The server (process {running.pid}) has not stopped within {seconds:.0f} seconds.",
                fix=f"Look at its log; `kill -9 {running.pid}` ends it at once, and no data is lost.",
            )
        time.sleep(_POLL_SECONDS)
    return True


def _read(home: Path) -> Instance | None:
    try:
        return Instance(**json.loads(_note_file(home).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def start_token(home: Path) -> str:
    """The token of this data folder, kept in the file ``token`` that only its owner may read; made when missing.

    Raises:
        ConfigurationError: others may read the file, or it is too short to be safe.
    """
    file = home / "token"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(secrets.token_urlsafe(32) + "\n")
    if file.stat().st_mode & 0o077:
        raise ConfigurationError(f"{file} can be read by other users.", fix=f"Run: chmod 600 {file}")
    token = file.read_text(encoding="ascii", errors="replace").strip()
    if len(token) < 32 or not _TOKEN.fullmatch(token):
        raise ConfigurationError(f"{file} does not hold a token.", fix=f"Remove {file}; a new token is made then.")
    return token


def check_port(host: str, port: int) -> None:
    """Raises ``ConfigurationError`` when the server could not listen there."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise ConfigurationError(
            f"Treadle cannot listen on {host}: there is no such address.",
            fix="Set --host or TREADLE_HOST to an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all.",
        ) from None
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise ConfigurationError(
            f"Treadle cannot listen on {host}, port {port}: {error.strerror}.",
            fix=_PORT_FIXES.get(error.errno or 0, _PORT_FIX),
        ) from None
