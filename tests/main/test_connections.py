"""A server takes as many connections as it says, whatever the shell allows that starts it."""

import contextlib
import resource
import socket
import subprocess
import sys
from pathlib import Path

from tests.main.servers import ROOT, SECONDS, started
from treadle.main.connections import MOST_CONNECTIONS, OPEN_FILES
from treadle.web.live import visitors

MANY = 600
"""More than servers take by default, and more than the files that the process may open at first."""


def test_requests_are_answered_beside_very_many_open_connections(home: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with started(home) as server, contextlib.ExitStack() as stack:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for _ in range(MANY):
                connection = socket.create_connection(("127.0.0.1", server.port), SECONDS)
                stack.callback(connection.close)
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
            assert server.call("GET", "/health").status_code == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_all_who_may_watch_leave_room_for_requests() -> None:
    assert visitors.MOST + 1_000 <= MOST_CONNECTIONS < OPEN_FILES


def test_a_system_that_allows_few_files_gives_what_it_has() -> None:
    program = (
        "import resource; from treadle.main.connections import allow_connections;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300));"
        "allow_connections(); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    assert done.stdout == "(300, 300)\n"
    assert "raise `ulimit -n`" in done.stderr
