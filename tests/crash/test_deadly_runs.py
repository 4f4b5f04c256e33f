"""Runs that kill their workers, for real: they are found and ended, and nothing else is."""

import asyncio
import signal
from collections import Counter
from functools import partial

import pytest

from tests.crash.test_kill import SECONDS, Load, all_over, events, load
from tests.crash.worker_process import MIX
from tests.engine.harness import plan_of, until
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, uuid7
from treadle.engine.bell import PostgresBell
from treadle.engine.blobs import LocalBlobs
from treadle.engine.store import Store
from treadle.kernel.plan import Plan

__all__ = ["load"]
pytestmark = pytest.mark.timeout(int(2 * SECONDS))

DEADLY = plan_of({"kill": "deadly"}, id="deadly")
DEADLY_SHORT = plan_of({"kill": "deadly_short"}, id="deadly-short")
MOST_DEATHS = 6
SLOW = plan_of({"slow": ("sleeping", {"seconds": 2.0})}, id="slow")
"""Gets nothing done while the others kill the workers quickly."""


async def queue(load: Load, plan: Plan, count: int = 1) -> list[ExecutionId]:
    store = Store(load.pool, PostgresBell(load.pool), LocalBlobs(load.folder / "blobs"))
    return [await store.enqueue(ExecutionId(uuid7()), LOCAL_WORKSPACE, plan, {}) for _ in range(count)]


async def work_until_over(load: Load) -> int:
    """Start a worker again whenever one has died, until every run is over; how many have died."""
    died = 0
    while True:
        async with load.worker() as process:
            await until(partial(gone_or_over, load, process), SECONDS)
            if process.returncode is None:
                return died
            assert process.returncode == -signal.SIGKILL
            died += 1


async def gone_or_over(load: Load, process: asyncio.subprocess.Process) -> bool:
    return process.returncode is not None or await all_over(load)


@pytest.mark.parametrize(
    "deadly", [[DEADLY], [DEADLY_SHORT], [DEADLY, DEADLY_SHORT, DEADLY]], ids=["one", "pure", "three"]
)
async def test_only_the_runs_that_kill_are_ended(load: Load, deadly: list[Plan]) -> None:
    await queue(load, MIX, 20)
    await queue(load, SLOW, 30)
    for plan in deadly:
        await queue(load, plan)
    load.pause = 0.05
    died = await work_until_over(load)
    assert MOST_DEATHS <= died <= MOST_DEATHS * len(deadly)
    rows = await load.pool.fetch("SELECT graph_id, status::text, error FROM executions WHERE parent_id IS NULL")
    ended = Counter((row["graph_id"], row["status"]) for row in rows)
    assert ended.pop(("mix", "COMPLETED")) == 20
    assert ended.pop(("slow", "COMPLETED")) == 30
    assert ended == Counter((plan.graph_id, "FAILED") for plan in deadly)
    assert all(f"{MOST_DEATHS} workers in a row died" in row["error"] for row in rows if row["status"] == "FAILED")
    print(f"{died} workers died")


async def test_a_long_run_outlives_any_number_of_workers(load: Load) -> None:
    steps = {f"n{number}": ("sleeping", {"seconds": 0.2}) for number in range(9)}
    links = [f"n{number} > n{number + 1}" for number in range(8)]
    (id,) = await queue(load, plan_of(steps, links))
    died = 0
    while not await all_over(load):
        async with load.worker() as process:
            before = await events(load)
            await until(partial(got_on, load, before), SECONDS)
            if not await all_over(load):
                process.send_signal(signal.SIGKILL)
                await process.wait()
                died += 1
    assert died > 5
    assert await load.pool.fetchval("SELECT status::text FROM executions WHERE id = $1", id) == "COMPLETED"


async def got_on(load: Load, before: int) -> bool:
    """A step has ended since: two records more, its own start not counted."""
    return await all_over(load) or await events(load) >= before + 3
