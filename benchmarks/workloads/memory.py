"""How much memory it takes that items wait."""

import resource
import sys
from pathlib import Path

from benchmarks import agents
from benchmarks.figures import Measured
from benchmarks.session import session, until
from treadle.base.ids import LOCAL_WORKSPACE


async def queued_numbers(home: Path, quick: bool) -> list[Measured]:
    """A million numbers, sent by one firing, that wait for a slow node."""
    return [await _queued(home, "queued-memory", 100_000 if quick else 1_000_000, agents.items.id, quick)]


async def queued_texts(home: Path, quick: bool) -> list[Measured]:
    """As many texts of 2 kB as make 200 MB, sent by one firing, that wait for a slow node."""
    return [await _queued(home, "queued-texts-memory", 10_000 if quick else 100_000, agents.texts.id, quick)]


async def _queued(home: Path, name: str, amount: int, source: str, quick: bool) -> Measured:
    """The most memory that the process held, less what it held before the run."""
    async with session(home) as bench:
        before = peak_megabytes()
        agents.MOMENTS.clear()
        id = await bench.submit(agents.queued(amount, source, bench.registry))
        await until(lambda: len(agents.MOMENTS) == 100)
        peak = peak_megabytes()
        await bench.platform.executions.stop(LOCAL_WORKSPACE, id)
        await bench.result(id)
        return Measured(name, [peak - before], note=f"with {amount:,} items" if quick else "")


def peak_megabytes() -> float:
    """The most memory this process has ever held (resident, 10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
