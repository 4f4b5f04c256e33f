"""How many connections the server takes at once, and the open files that this needs."""

import logging
import sys

MOST_CONNECTIONS = 12_000
"""Beyond these a connection waits until another one ends. All that may watch (``treadle.web.live.visitors.MOST``), and
room for requests beside them."""
WAITING_CONNECTIONS = 2_048
"""That the system keeps until they are taken."""
OPEN_FILES = MOST_CONNECTIONS + 1_000
"""With what else the process has open."""
_log = logging.getLogger(__name__)


def allow_connections() -> None:
    """Let this process have a file open for each connection, as far as the system permits.

    Shells start processes with a limit of 256 to 1,024, which those who watch runs would soon reach.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 (not there on Windows)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    wanted = OPEN_FILES if unlimited else min(OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < OPEN_FILES:
        _log.warning("The system allows fewer open files than connections; raise `ulimit -n`", extra={"files": wanted})
