"""A worker with runs in flight, made to be killed: ``python -m benchmarks.in_flight HOME RUNS``."""

import asyncio
import sys
from pathlib import Path

import uvloop

from benchmarks import agents
from benchmarks.session import session, until


async def fly(home: Path, amount: int) -> None:
    """Start the runs, say so when all of them have a node at work, and stay."""
    async with session(home) as bench:
        plan = agents.single(agents.sleep.id, {"value": 0}, bench.registry)
        await asyncio.gather(*(bench.submit(plan) for _ in range(amount)))
        await until(lambda: len(agents.MOMENTS) >= amount)
        print("ready", flush=True)
        await asyncio.sleep(600)


if __name__ == "__main__":
    uvloop.run(fly(Path(sys.argv[1]), int(sys.argv[2])))
