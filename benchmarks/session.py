"""A platform to measure: on a fresh data folder, durable, with the settings of a real install."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from benchmarks.agents import BLOCKS
from benchmarks.processes import CpuMeter
from treadle.base.config import load_settings
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId
from treadle.engine.store import ExecutionRow
from treadle.kernel.plan import Plan
from treadle.main.wiring import Platform, running_platform, tune_garbage_collector


class Session:
    """Short ways to do with a platform what workloads do."""

    def __init__(self, platform: Platform, home: Path) -> None:
        self.platform = platform
        self.home = home
        self.registry = platform.registry
        self.worker = platform.worker

    async def submit(self, plan: Plan) -> ExecutionId:
        """Start a run; it is durable when this returns."""
        return await self.worker.submit(LOCAL_WORKSPACE, plan, {})

    async def result(self, id: ExecutionId) -> ExecutionRow:
        """Wait for the durable end."""
        return await self.worker.finished(LOCAL_WORKSPACE, id)

    async def run(self, plan: Plan, firings: int | None = None) -> ExecutionRow:
        """From submit to durable end. A run that does not do what it should is no measurement."""
        row = await self.result(await self.submit(plan))
        if row.status != "COMPLETED" or row.failed or firings not in (None, row.firings):
            raise RuntimeError(
                f"{plan.graph_id}: {row.status}, {row.firings} firings, {row.failed} failed: {row.error}"
            )
        return row

    async def count(self, condition: str, *values: object) -> int:
        """How many executions fulfil a condition in SQL (of a workload, never of a person)."""
        return int(await self.worker.pool.fetchval(f"SELECT count(*) FROM executions WHERE {condition}", *values))

    def meter(self) -> CpuMeter:
        """Begin to count processor time."""
        return CpuMeter(self.home)


async def until(done: Callable[[], bool], every: float = 0.002) -> None:
    """Wait for something that nobody tells."""
    while not done():  # noqa: ASYNC110 (what is measured is not changed to make measuring easier)
        await asyncio.sleep(every)


@contextlib.asynccontextmanager
async def session(home: Path, **settings: Any) -> AsyncIterator[Session]:
    """A running platform with the blocks of the workloads."""
    async with running_platform(load_settings(home=home, **settings), BLOCKS) as platform:
        tune_garbage_collector()
        yield Session(platform, home)
