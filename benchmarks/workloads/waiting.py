"""Runs that mostly wait: for slow servers, and for a time."""

import asyncio
import contextlib
import gc
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import agents
from benchmarks.figures import Measured
from benchmarks.processes import postgres_processes, pss, with_children
from benchmarks.session import Session, session, until

WEB_REQUEST = "6595ae1f-b924-42cb-9a41-551a0611c4b4"
COUNTDOWN = "d67a9c52-5e4e-11e2-bcfd-0800200c9a71"


@contextlib.asynccontextmanager
async def slow_server() -> AsyncIterator[int]:
    """The port of a server, in its own process, that takes a second for each answer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.slow_server", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def http_waits(home: Path, quick: bool) -> list[Measured]:
    """200 runs at once, each one web request of a second, through the real egress client."""
    async with slow_server() as port, session(home, egress_allow=f"127.0.0.1:{port}") as bench:
        constants = {"url": f"http://127.0.0.1:{port}/", "method": "GET"}
        plan = agents.single(WEB_REQUEST, constants, bench.registry)
        await asyncio.gather(*(bench.run(plan, 1) for _ in range(10)))
        values: list[float] = []
        times = 2 if quick else 5
        meter = bench.meter()
        for _ in range(times):
            began = time.perf_counter()
            rows = await asyncio.gather(*(bench.run(plan, 1) for _ in range(200)))
            values.append(time.perf_counter() - began)
            assert all(name == "response" for row in rows for name, _ in row.outputs)
        return [Measured("waits-200", values, *meter.per_firing(200 * times))]


async def timers(home: Path, quick: bool) -> list[Measured]:
    """Runs that wait an hour: none stays in the worker, and they cost little memory."""
    amount = 1_000 if quick else 10_000
    async with session(home) as bench:
        plan = agents.single(COUNTDOWN, {"hours": 1}, bench.registry)
        await bench.submit(plan)
        await _sleeping(bench)
        before = _memory(bench)
        meter = bench.meter()
        began = time.perf_counter()
        for _ in range(amount // 1_000):
            await asyncio.gather(*(bench.submit(plan) for _ in range(1_000)))
            await _sleeping(bench)
        seconds = time.perf_counter() - began
        rate = Measured("waiting-rate", [amount / seconds], *meter.per_firing(amount))
        waiting = await bench.count("status = 'WAITING'")
        if waiting != amount + 1:
            raise RuntimeError(f"{waiting:,} of {amount + 1:,} runs wait")
        after = _memory(bench)
        return [
            Measured("waiting-worker-memory", [after[0] - before[0]], note=f"with {amount:,} runs" if quick else ""),
            Measured("waiting-postgres-memory", [after[1] - before[1]], note="of which shared buffers are up to 48 MB"),
            Measured("waiting-roots", [float(len(bench.worker.roots))]),
            rate,
        ]


async def _sleeping(bench: Session) -> None:
    """Wait until the worker has put all its roots to sleep."""
    await until(lambda: not bench.worker.roots)


def _memory(bench: Session) -> tuple[float, float]:
    gc.collect()
    own = with_children(os.getpid())
    server = postgres_processes(bench.home)
    theirs = {each.pid for each in server}
    return pss(each for each in own if each.pid not in theirs), pss(server)
