"""How much the engine gets done: chains, items, effects."""

import asyncio
import itertools
import statistics
import time
from pathlib import Path

from benchmarks import agents
from benchmarks.figures import Measured
from benchmarks.machine import fsync_ms
from benchmarks.session import Session, session
from benchmarks.workloads.memory import peak_megabytes
from treadle.kernel.plan import Plan


async def chains(home: Path, quick: bool) -> list[Measured]:
    """Chains of trivial nodes, from submit to durable end."""
    async with session(home) as bench:
        return [await _chain(bench, length, 5 if quick else 15) for length in (10, 100, 1000)]


async def _chain(bench: Session, length: int, times: int) -> Measured:
    plan = agents.chain(length, agents.add.id, bench.registry)
    await bench.run(plan, length)
    return await _rate(bench, f"chain-{length}", [plan], length, times)


async def _rate(bench: Session, name: str, plans: list[Plan], firings: int, times: int) -> Measured:
    """Firings per second of plans that run at once, each ``firings`` long; ``times`` over."""
    values: list[float] = []
    meter = bench.meter()
    for _ in range(times):
        began = time.perf_counter()
        await asyncio.gather(*(bench.run(plan, firings) for plan in plans))
        values.append(firings * len(plans) / (time.perf_counter() - began))
    return Measured(name, values, *meter.per_firing(firings * len(plans) * times))


async def thousand_items(home: Path, quick: bool) -> list[Measured]:
    """1,000 items through three nodes, and the memory that took."""
    return await _items(home, 1_000, 5 if quick else 15)


async def many_items(home: Path, quick: bool) -> list[Measured]:
    """100,000 items through three nodes, and the memory that took."""
    return await _items(home, 10_000 if quick else 100_000, 1 if quick else 3)


async def _items(home: Path, amount: int, times: int) -> list[Measured]:
    async with session(home) as bench:
        plan = agents.through_three(amount, bench.registry)
        name = "items-1000" if amount <= 1_000 else "items-100000"
        rate = await _rate(bench, name, [plan], 1 + 3 * amount, times)
        if amount not in (1_000, 100_000):
            rate.note = f"with {amount:,} items"
        return [rate, Measured(f"{name}-peak", [peak_megabytes()])]


async def effects(home: Path, quick: bool) -> list[Measured]:
    """500 chains of 100 effects at once on one worker: each start is on disk before its block runs."""
    width = 100 if quick else 500
    async with session(home) as bench:
        plan = agents.chain(100, agents.send.id, bench.registry)
        await bench.run(plan, 100)
        measured = await _rate(bench, "effects-500x100", [plan] * width, 100, 3)
        measured.note = f"with {width} chains" if quick else ""
        return [measured]


async def effect_alone(home: Path, quick: bool) -> list[Measured]:
    """A chain of effects with nothing beside it: what one durable node costs."""
    length = 200
    async with session(home) as bench:
        plan = agents.chain(length, agents.note_send.id, bench.registry)
        await bench.run(plan, length)
        values: list[float] = []
        meter = bench.meter()
        times = 3 if quick else 9
        for _ in range(times):
            agents.MOMENTS.clear()
            await bench.run(plan, length)
            gaps = [later - earlier for earlier, later in itertools.pairwise(agents.MOMENTS)]
            values.append(1000 * statistics.median(gaps))
        return [
            Measured("effect-alone", values, *meter.per_firing(length * times)),
            Measured("fsync", [await asyncio.to_thread(fsync_ms, home) for _ in range(times)]),
        ]
