"""How soon a small run begins and ends, and how many of them one worker does."""

import asyncio
import time
from pathlib import Path

from benchmarks import agents
from benchmarks.figures import Measured
from benchmarks.session import Session, session
from treadle.kernel.plan import Plan


def percentile(values: list[float], part: float) -> float:
    """The value below which ``part`` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))]


async def latency(home: Path, quick: bool) -> list[Measured]:
    """A two-node run, one at a time: until its first node runs, and until its result is durable."""
    times = 100 if quick else 400
    async with session(home) as bench:
        pure = agents.chain(2, agents.note.id, bench.registry)
        effect = agents.chain(2, agents.note_send.id, bench.registry)
        firsts, results = await _series(bench, pure, times)
        effects, _ = await _series(bench, effect, times)
        return [
            *_percentiles("first-node", firsts),
            *_percentiles("first-effect", effects),
            *_percentiles("result", results),
        ]


async def _series(bench: Session, plan: Plan, times: int) -> tuple[list[list[float]], list[list[float]]]:
    """Five series of ``times`` runs: milliseconds to the first node, and to the result."""
    await bench.run(plan, 2)
    firsts: list[list[float]] = []
    results: list[list[float]] = []
    for _ in range(5):
        first, result = [], []
        for _ in range(times):
            agents.MOMENTS.clear()
            began = time.perf_counter()
            await bench.run(plan, 2)
            result.append(1000 * (time.perf_counter() - began))
            first.append(1000 * (agents.MOMENTS[0] - began))
        firsts.append(first)
        results.append(result)
    return firsts, results


def _percentiles(name: str, series: list[list[float]]) -> list[Measured]:
    return [
        Measured(f"{name}-p50", [percentile(each, 0.50) for each in series]),
        Measured(f"{name}-p99", [percentile(each, 0.99) for each in series]),
    ]


async def runs_per_second(home: Path, quick: bool) -> list[Measured]:
    """Two-node runs, each submitter starting the next when the last one's result is durable."""
    seconds = 1.0 if quick else 3.0
    async with session(home) as bench:
        plan = agents.chain(2, agents.add.id, bench.registry)
        await _for_a_while(bench, plan, 16, 0.5)
        return [await _submitters(bench, plan, count, seconds) for count in (1, 16, 64)]


async def _submitters(bench: Session, plan: Plan, count: int, seconds: float) -> Measured:
    meter = bench.meter()
    done = [await _for_a_while(bench, plan, count, seconds) for _ in range(3)]
    firings = 2 * sum(runs for runs, _ in done)
    return Measured(f"runs-{count}", [runs / taken for runs, taken in done], *meter.per_firing(firings))


async def _for_a_while(bench: Session, plan: Plan, submitters: int, seconds: float) -> tuple[int, float]:
    """(runs done, seconds taken)."""
    began = time.perf_counter()

    async def one() -> int:
        runs = 0
        while time.perf_counter() - began < seconds:
            await bench.run(plan, 2)
            runs += 1
        return runs

    runs = sum(await asyncio.gather(*(one() for _ in range(submitters))))
    return runs, time.perf_counter() - began
