"""What processes cost: processor time and memory, of this process and of the PostgreSQL of a data folder."""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

MEGABYTE = 1_000_000


def postgres_processes(home: Path) -> list[psutil.Process]:
    """The server of a data folder with all its processes; none when it does not run."""
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
        server = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
        return [server, *server.children(recursive=True)]
    return []


def with_children(process: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        found = psutil.Process(process)
        return [found, *found.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Processor time that they, and what they have waited for, used so far."""
    total = 0.0
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            counted = _scheduled_seconds(each.pid) or times.user + times.system
            total += counted + times.children_user + times.children_system
    return total


def _scheduled_seconds(process: int) -> float:
    """What the scheduler has counted, in nanoseconds where others count hundredths of a second (Linux; else zero).

    It counts one thread: PostgreSQL's processes have no more.
    """
    with contextlib.suppress(OSError, ValueError):
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
    return 0.0


def pss(processes: Iterable[psutil.Process]) -> float:
    """Megabytes (10^6 bytes) in use, shared pages divided among those that share them.

    Where the system does not tell that (macOS), what only they hold.
    """
    total = 0
    for each in {one.pid: one for one in processes}.values():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory = each.memory_full_info()
            total += getattr(memory, "pss", memory.uss)
    return total / MEGABYTE


class CpuMeter:
    """Processor time since it was made, of this process and of PostgreSQL."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._own = time.process_time()
        self._postgres = cpu_seconds(postgres_processes(home))

    def per_firing(self, firings: int) -> tuple[float, float]:
        """Milliseconds for each firing: (this process, PostgreSQL)."""
        own = time.process_time() - self._own
        postgres = cpu_seconds(postgres_processes(self._home)) - self._postgres
        return 1000 * own / firings, 1000 * max(0.0, postgres) / firings
