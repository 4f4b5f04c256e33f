"""Live events: a server as people start it, runs whose nodes send at a pace, and very many who watch them."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil

from benchmarks import agents
from benchmarks.figures import Measured
from benchmarks.live_clients import Seen, Wanted
from benchmarks.processes import cpu_seconds, postgres_processes, pss
from benchmarks.server import Server, running_server
from benchmarks.workloads.latency import percentile

_CONNECTED = 2_000
_RATE = 500.0
"""Of what is counted a second, in all."""
_LINE = 64 * 1024 * 1024
"""Bytes that a line of the clients may be long."""


async def two_each(home: Path, quick: bool) -> list[Measured]:
    """500 messages a second in all: half as many outputs, of 1,000 runs (one worker's most), each watched by two."""
    return await _watched(home, "live", each=2, rate=_RATE / 2, sockets=True, quick=quick)


async def twenty_each(home: Path, quick: bool) -> list[Measured]:
    """500 outputs a second in all, of 100 runs, each watched by twenty."""
    return await _watched(home, "live-wide", each=20, rate=_RATE, sockets=True, quick=quick)


async def streams(home: Path, quick: bool) -> list[Measured]:
    """The same over server-sent events."""
    return await _watched(home, "live-sse", each=20, rate=_RATE, sockets=False, quick=quick)


async def _watched(home: Path, name: str, *, each: int, rate: float, sockets: bool, quick: bool) -> list[Measured]:
    connected, rate = (_CONNECTED // 10, rate / 10) if quick else (_CONNECTED, rate)
    with running_server(home, more_blocks=True) as server:
        runs = await asyncio.to_thread(_start, server, connected // each, rate)
        before = pss(server.processes)
        wanted = Wanted(server.port, server.token, runs, each, 4.0 if quick else 8.0, 2 if quick else 5, sockets)
        async with _clients(wanted) as out:
            await out.readline()  # they are connected
            memory = pss(server.processes) - before
            meter = _Meter(server)
            seen = [msgspec.json.decode(await out.readline(), type=Seen) for _ in range(wanted.spans)]
            cores = meter.cores()
    _check(seen, wanted, rate)
    note = f"{sum(len(one.milliseconds) for one in seen) / wanted.seconds / wanted.spans:,.0f} messages/s"
    return [
        Measured(f"{name}-p50", [percentile(one.milliseconds, 0.50) for one in seen], note=note),
        Measured(f"{name}-p99", [percentile(one.milliseconds, 0.99) for one in seen], note=note),
        Measured(f"{name}-cores", [cores[0]], note=f"PostgreSQL {cores[1]:.2f} beside it"),
        Measured(f"{name}-memory", [memory], note=f"{connected:,} connected"),
    ]


def _start(server: Server, amount: int, rate: float) -> list[str]:
    """Start so many runs, which send so much a second in all; their ids."""
    nodes = [{"id": "n0", "block_id": agents.tick.id, "input_default": {"every": amount / rate}}]
    made = server.call("POST", "/api/v2/builder/graphs", {"name": "Ticks", "nodes": nodes, "links": []})
    path = f"/api/v2/builder/graphs/{made['id']}/execute"
    return [server.call("POST", path, {"input_data": {}})["execution_id"] for _ in range(amount)]


def _check(seen: list[Seen], wanted: Wanted, rate: float) -> None:
    """What is too little, too much or out of order is no measurement."""
    for one in seen:
        if one.failure:
            raise RuntimeError(f"a client was not told what it should be: {one.failure[:500]}")
        if not 0.9 * rate < one.events / wanted.seconds < 1.1 * rate:
            raise RuntimeError(f"{one.events} events in {wanted.seconds:.0f} s are not {rate:.0f} events/s")
        if len(one.milliseconds) != one.events * wanted.each:
            raise RuntimeError(f"{one.events} events came {len(one.milliseconds)} times")


@contextlib.asynccontextmanager
async def _clients(wanted: Wanted) -> AsyncIterator[asyncio.StreamReader]:
    """What the clients print, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.live_clients"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(wanted))
    process.stdin.close()
    try:
        yield process.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class _Meter:
    """Processor time since it was made, of the server and of its database."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._began = time.perf_counter()
        self._used = self._seconds()

    def cores(self) -> tuple[float, float]:
        """Cores that were kept busy on average: (by the server, by PostgreSQL)."""
        elapsed = time.perf_counter() - self._began
        used = self._seconds()
        return (used[0] - self._used[0]) / elapsed, (used[1] - self._used[1]) / elapsed

    def _seconds(self) -> tuple[float, float]:
        times = psutil.Process(self._server.pid).cpu_times()
        return times.user + times.system, cpu_seconds(postgres_processes(self._server.home))
