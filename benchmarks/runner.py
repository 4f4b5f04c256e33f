"""Runs workloads, each in a fresh process on a fresh data folder."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.figures import Measured
from benchmarks.processes import with_children

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 900.0


@dataclass(slots=True)
class Outcome:
    """How a workload went."""

    measured: list[Measured] = field(default_factory=list)
    problem: str = ""
    others: float = 0.0
    """Cores that processes which are not part of it kept busy meanwhile, on average."""


@contextlib.contextmanager
def bench_folder() -> Iterator[Path]:
    """A temporary folder for data folders; the user that PostgreSQL runs as (when we are root) may pass it."""
    folder = Path(tempfile.mkdtemp(prefix="treadle-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_workload(name: str, folder: Path, quick: bool) -> Outcome:
    """Run one workload; its failure is an outcome, because the other rows are still wanted."""
    home = folder / name
    home.mkdir(mode=0o711)
    out = folder / f"{name}.json"
    command = [sys.executable, "-m", "benchmarks.one", name, str(home), str(out), *(["--quick"] if quick else [])]
    busy, ours, began = _busy_seconds(), _children_seconds(), time.monotonic()
    problem = _run(command, home)
    elapsed = time.monotonic() - began
    others = (_busy_seconds() - busy) - (_children_seconds() - ours)
    shutil.rmtree(home, ignore_errors=True)
    if problem:
        return Outcome(problem=problem)
    measured = [Measured(**each) for each in json.loads(out.read_text())]
    return Outcome(measured, others=max(0.0, others / elapsed))


def _run(command: list[str], home: Path) -> str:
    """Run a command from the data folder, where no settings of a person lie; what went wrong, or nothing."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("TREADLE_", "DATABASE_"))}
    environment = {**settings, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "WARNING"}
    process = subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.PIPE)
    try:
        said = process.communicate(timeout=LIMIT_SECONDS)[1]
    except subprocess.TimeoutExpired:
        return f"not finished within {LIMIT_SECONDS:.0f} seconds"
    finally:
        _end(process)
    if process.returncode == 0:
        return ""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"ended with {process.returncode}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of a workload outlives it, not even its server, when it was interrupted or took too long."""
    if process.poll() is None:
        for each in reversed(with_children(process.pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))


def _children_seconds() -> float:
    """Processor time of every process below us that has ended."""
    times = os.times()
    return times.children_user + times.children_system
