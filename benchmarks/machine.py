"""The machine on which something was measured: a figure without it says nothing."""

import contextlib
import os
import platform
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

BLOCK = 8192
QUIET_CORES = 0.15
"""Others that took less than this many cores are not worth a word."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts about the machine, taken before the first workload."""

    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    postgres: str
    fsync_ms: float
    load: float
    others: float
    """Cores that other processes kept busy during a second before the start."""

    def lines(self) -> list[str]:
        """The facts for people."""
        busy = f"others keep {self.others:.1f} cores busy" if self.others > QUIET_CORES else "otherwise idle"
        return [
            f"{self.cpu}, {self.cores} cores, {self.memory_gb:.1f} GB; {self.kernel}",
            f"Python {self.python}, PostgreSQL {self.postgres}; fsync of one 8 kB block {self.fsync_ms:.2f} ms (p50)",
            f"load average at the start {self.load:.2f}; {busy}",
        ]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def this_machine(folder: Path) -> Machine:
    """The facts of this machine; ``folder`` is on the disk that data folders will be on."""
    others = psutil.cpu_percent(1.0) / 100 * (psutil.cpu_count() or 1)
    return Machine(
        cpu=_cpu_name(),
        cores=psutil.cpu_count() or 1,
        memory_gb=psutil.virtual_memory().total / 1e9,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        postgres=_postgres_version(),
        fsync_ms=fsync_ms(folder),
        load=os.getloadavg()[0],
        others=others,
    )


def fsync_ms(folder: Path, times: int = 200) -> float:
    """Milliseconds (median) to write one block inside a file and have it on the disk, as PostgreSQL's log does."""
    path = folder / "fsync-probe"
    block = os.urandom(BLOCK)
    taken: list[float] = []
    try:
        with path.open("wb", buffering=0) as file:
            file.write(block * times)
            _to_disk(file.fileno())
            for number in range(times):
                file.seek(number * BLOCK)
                began = time.perf_counter()
                file.write(block)
                _to_disk(file.fileno())
                taken.append(time.perf_counter() - began)
    finally:
        path.unlink(missing_ok=True)
    return 1000 * statistics.median(taken)


def _to_disk(file: int) -> None:
    getattr(os, "fdatasync", os.fsync)(file)


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _postgres_version() -> str:
    from treadle.base.postgres_files import server_binaries  # noqa: PLC0415 (needs Unix)

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(
            [server_binaries(Path.home(), None) / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        return found.stdout.split()[2]
    return "?"
