"""Locks between processes, held by the kernel: they vanish with their holder, even after ``kill -9``."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from treadle.base.errors import ConfigurationError

_POLL_SECONDS = 0.01


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Lock the file (created when missing) and return its descriptor, or None when someone else holds it.

    The lock lasts until every copy of the descriptor is closed, copies in child processes included.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"The file {path} cannot be locked: {error.strerror}.",
            fix="Set TREADLE_HOME to a folder on a local disk; some network file systems have no locks.",
        ) from error
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether some process holds the exclusive lock on the file."""
    descriptor = try_lock(path, shared=True)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


@contextlib.contextmanager
def exclusive(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the exclusive lock; wait for it at most this long.

    Raises ConfigurationError when another process keeps it longer.
    """
    deadline = time.monotonic() + seconds
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"Another Treadle process has held {path} for more than {seconds:.0f} seconds.",
                fix="See what that process is doing, or stop it, and start again.",
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)
