"""A real ClamAV daemon with two signatures of its own, instead of a database of a million."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The test file that every scanner finds (eicar.org), in halves: no scanner shall flag this one."""
MARKER = b"TREADLE-TEST-MARKER-" + b"7f3a91"
SCAN_LIMIT = 2 * 1024 * 1024
_SECONDS = 30.0


@contextlib.contextmanager
def running_clamd() -> Iterator[int]:
    """The port of a clamd, for as long as the context lasts."""
    program = shutil.which("clamd") or shutil.which("clamd", path="/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("clamd is not installed: apt-get install clamav-daemon")
        pytest.skip("needs clamd: apt-get install clamav-daemon (brew install clamav)")
    folder = Path(tempfile.mkdtemp(prefix="treadle-clamd-"))
    process = None
    try:
        port = _configure(folder)
        with (folder / "out.log").open("w") as log:
            process = subprocess.Popen(
                [program, "-F", "-c", str(folder / "clamd.conf")], stdout=log, stderr=subprocess.STDOUT
            )
        _wait(port, process, folder)
        yield port
    finally:
        if process is not None:
            process.kill()
            process.wait(_SECONDS)
        shutil.rmtree(folder)


def _configure(folder: Path) -> int:
    database = folder / "db"
    database.mkdir()
    (database / "local.ndb").write_text(f"Eicar-Test-Body:0:*:{EICAR.hex()}\nTest-Marker:0:*:{MARKER.hex()}\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    settings = {
        "DatabaseDirectory": database,
        "TCPAddr": "127.0.0.1",
        "TCPSocket": port,
        "StreamMaxLength": SCAN_LIMIT,
        "TemporaryDirectory": folder,
        "Foreground": "yes",
    }
    (folder / "clamd.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return port


def _wait(port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    pytest.fail(f"clamd has not started: {(folder / 'out.log').read_text()}")
