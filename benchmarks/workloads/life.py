"""Starting, stopping, dying and coming back."""

import asyncio
import shutil
import sys
import time
from collections.abc import Sized
from pathlib import Path

from benchmarks import agents
from benchmarks.figures import Measured
from benchmarks.processes import postgres_processes, pss, with_children
from benchmarks.server import running_server
from benchmarks.session import session, until
from treadle.base.config import load_settings
from treadle.base.database import running_database
from treadle.base.ids import LOCAL_WORKSPACE


async def stop(home: Path, quick: bool) -> list[Measured]:
    """From the wish to stop until the end is durable, with 50 nodes at work."""
    async with session(home) as bench:
        plan = agents.side_by_side(50, agents.sleep.id, bench.registry)
        values: list[float] = []
        for _ in range(3 if quick else 7):
            agents.MOMENTS.clear()
            id = await bench.submit(plan)
            await until(lambda: len(agents.MOMENTS) >= 50)
            began = time.perf_counter()
            await bench.platform.executions.stop(LOCAL_WORKSPACE, id)
            row = await bench.result(id)
            values.append(time.perf_counter() - began)
            if row.status != "TERMINATED":
                raise RuntimeError(f"a stopped run is {row.status}")
        return [Measured("stop", values)]


async def recovery(home: Path, quick: bool) -> list[Measured]:
    """A worker with 1,000 runs in flight is killed; how long until another holds them all."""
    amount = 200 if quick else 1_000
    note = f"with {amount:,} runs" if quick else ""
    restarts, neighbours = [], []
    for number in range(1 if quick else 3):
        restarts.append(await _restart(home / f"restart-{number}", amount))
    neighbours.append(await _neighbour(home / "neighbour", amount))
    return [
        Measured("recovery-restart", restarts, note=note),
        Measured("recovery-neighbour", neighbours, note=note),
    ]


async def _restart(home: Path, amount: int) -> float:
    """The dead worker is started again: from its start, with the database up."""
    async with running_database(load_settings(home=home)):
        process = await _in_flight(home, amount)
        process.kill()
        await process.wait()
        began = time.perf_counter()
        async with session(home) as bench:
            return await _all_held(bench.worker.roots, amount, began)


async def _neighbour(home: Path, amount: int) -> float:
    """Another worker of the machine is at hand: from the death."""
    async with session(home) as bench:
        process = await _in_flight(home, amount)
        process.kill()
        began = time.perf_counter()
        await process.wait()
        return await _all_held(bench.worker.roots, amount, began)


async def _all_held(roots: Sized, amount: int, began: float) -> float:
    await until(lambda: len(roots) >= amount)
    return time.perf_counter() - began


async def _in_flight(home: Path, amount: int) -> asyncio.subprocess.Process:
    """A process with a worker that holds that many runs, each with a node at work."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.in_flight", str(home), str(amount), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    if await process.stdout.readline() != b"ready\n":
        raise RuntimeError("the worker that was to be killed did not start")
    return process


async def start(home: Path, quick: bool) -> list[Measured]:
    """``treadle up`` until the API answers, with an empty data folder and with one; memory when idle."""
    cold, warm, memory = [], [], []
    for _ in range(1 if quick else 3):
        await asyncio.to_thread(_empty, home)
        cold.append((await asyncio.to_thread(_start_once, home, 0.0))[0])
    for _ in range(2 if quick else 5):
        seconds, megabytes = await asyncio.to_thread(_start_once, home, 3.0)
        warm.append(seconds)
        memory.append(megabytes)
    return [Measured("start-cold", cold), Measured("start-warm", warm), Measured("idle-memory", memory)]


def _empty(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o711)


def _start_once(home: Path, idle_seconds: float) -> tuple[float, float]:
    """(seconds to the first answer, megabytes after some idle seconds); the server is stopped again."""
    began = time.perf_counter()
    with running_server(home) as server:
        seconds = time.perf_counter() - began
        time.sleep(idle_seconds)
        return seconds, pss([*with_children(server.pid), *postgres_processes(home)])
