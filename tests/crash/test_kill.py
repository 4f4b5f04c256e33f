"""Workers and the database are killed under load, for real: nothing is lost, nothing ends twice."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from tests.crash.worker_process import LINE_END, MIX
from tests.engine.harness import plan_of, until
from treadle.base.config import Settings
from treadle.base.database import DatabaseUrls, create_pool, running_database
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, uuid7
from treadle.base.migrations import migrate
from treadle.engine.bell import PostgresBell
from treadle.engine.blobs import LocalBlobs
from treadle.engine.company import PAUSE_SECONDS
from treadle.engine.store import Store
from treadle.kernel.graph import NodePolicy
from treadle.kernel.plan import Plan
from treadle.kernel.records import decode_records

RUNS = 1_000
KILLS = 20
OVER = "status IN ('COMPLETED', 'FAILED', 'TERMINATED')"
SECONDS = 300.0
CHECKOUT = Path(__file__).resolve().parents[2]
ITEMS = 6_000
LINE = plan_of(
    {
        "src": ("items", {"value": ITEMS}),
        "do": ("effect", {}, NodePolicy(concurrency=20)),
        "pair": "join",
        "out": ("output", {"name": "o"}),
    },
    ["src > do", "do > pair.a", "src > pair.b", "pair > out.value"],
)
"""What the source sends waits for its turn at the effect, and for what comes of that."""
SLOW = plan_of({"n0": ("sleeping", {"seconds": 2.0}), "n1": ("sleeping", {"seconds": 0.1})}, ["n0 > n1"])
pytestmark = pytest.mark.timeout(int(2 * SECONDS))


@dataclass
class Load:
    """Runs that were queued, and the place where they are kept."""

    urls: DatabaseUrls
    folder: Path
    pool: asyncpg.Pool
    pause: float = PAUSE_SECONDS
    """How long runs pause after three workers in a row have died with them."""

    async def queue(self, count: int, plan: Plan = MIX) -> None:
        store = Store(self.pool, PostgresBell(self.pool), LocalBlobs(self.folder / "blobs"))
        for _ in range(count):
            await store.enqueue(ExecutionId(uuid7()), LOCAL_WORKSPACE, plan, {})

    async def waiting(self) -> int:
        return int(await self.pool.fetchval("SELECT count(*) FROM spilled"))

    async def over(self) -> int:
        return int(await self.pool.fetchval(f"SELECT count(*) FROM executions WHERE parent_id IS NULL AND {OVER}"))

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[asyncio.subprocess.Process]:
        arguments = ("-m", "tests.crash.worker_process", self.urls.engine, str(self.folder), str(self.pause))
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=CHECKOUT)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def verify(self, runs: int) -> None:
        """Compare the journal with what the effects wrote down themselves."""
        assert await self.over() == runs
        statuses = await self.pool.fetch("SELECT status, count(*) AS n FROM executions GROUP BY 1")
        assert {row["status"]: row["n"] for row in statuses} == {"COMPLETED": runs * 4}, "lost, failed or doubled runs"
        ends: Counter[tuple[UUID, int]] = Counter()
        closes: Counter[UUID] = Counter()
        starts: Counter[tuple[UUID, int, int]] = Counter()
        expected = 1
        last: UUID | None = None
        for row in await self.pool.fetch("SELECT execution_id, seq, count, body FROM journal ORDER BY 1, 2"):
            expected = expected if row["execution_id"] == last else 1
            assert row["seq"] == expected, "a gap in a journal"
            last, expected = row["execution_id"], row["seq"] + row["count"]
            for record in decode_records(row["body"]):
                if record[0] == "end":
                    ends[last, record[1]] += 1
                elif record[0] == "start":
                    starts[last, record[1], record[2]] += 1
                elif record[0] == "close":
                    closes[last] += 1
        assert set(closes.values()) == {1}, "a run ended twice"
        assert set(ends.values()) == {1}, "a firing ended twice"
        ran: Counter[tuple[UUID, int, int]] = Counter()
        for line in (self.folder / "effects.log").read_text().split(LINE_END)[:-1]:
            # What a kill has cut off stands before the next line, and is about an effect that will begin again.
            execution, firing, attempt, _ = line.split()[-4:]
            ran[UUID(execution[-36:]), int(firing), int(attempt)] += 1
        assert {key: count for key, count in ran.items() if count > starts[key]} == {}, "an effect ran without a start"
        effects = {key[:2] for key in ran}
        assert len(effects) == runs * (3 + 3 + 3 + 1 + 1), "an effect is missing"
        repeated = sum(ran.values()) - len(ran)
        print(
            f"{runs} runs, {sum(ends.values())} firings ended once each; {repeated} of {sum(ran.values())} effects "
            "began again because their end was not yet durable"
        )


@pytest.fixture
async def load(settings: Settings, home: Path) -> AsyncIterator[Load]:
    """A durable server of this test's own, watched over as in production."""
    async with running_database(settings) as urls:
        await migrate(urls, settings)
        pool = await create_pool(urls.engine, max_size=3)
        yield Load(urls, home, pool)
        await pool.close()


async def test_nothing_is_lost_when_workers_are_killed(load: Load) -> None:
    await load.queue(RUNS)
    under_load = 0
    for number in range(KILLS):
        async with load.worker() as process:
            before = await events(load)
            await until(partial(grown, load, before), SECONDS)
            await asyncio.sleep(0.05 * (number % 5))
            under_load += not await all_over(load)
            process.send_signal(signal.SIGKILL)
            await process.wait()
    async with load.worker():
        await until(lambda: all_over(load), SECONDS)
    assert under_load > KILLS // 2
    print(f"{under_load} kills under load")
    await load.verify(RUNS)


async def test_nothing_is_lost_when_workers_are_killed_before_any_step_is_over(load: Load) -> None:
    """No run gets anywhere for as long as they are killed; none is ended for that, and all go on soon after it."""
    load.pause = 8.0
    await load.queue(100, SLOW)
    for _ in range(10):
        async with load.worker() as process:
            await until(partial(entered, load, process), SECONDS)
            await asyncio.sleep(0.4)
            process.send_signal(signal.SIGKILL)
            await process.wait()
    assert await load.over() == 0
    async with load.worker():
        await until(lambda: all_over(load), SECONDS)
    statuses = await load.pool.fetch("SELECT status, count(*) AS n FROM executions GROUP BY 1")
    assert {row["status"]: row["n"] for row in statuses} == {"COMPLETED": 100}


async def test_nothing_is_lost_of_long_lines(load: Load) -> None:
    """Thousands of items wait in the database when the worker is killed, and its successors."""
    await load.queue(1, LINE)
    for part in range(3):
        async with load.worker() as process:
            await until(lambda: load.waiting(), SECONDS)
            await until(partial(got_to, load, 3_000 * (part + 1)), SECONDS)
            process.send_signal(signal.SIGKILL)
            await process.wait()
    async with load.worker():
        await until(lambda: all_over(load), SECONDS)
        await until(partial(nothing_waits, load), SECONDS)
    row = await load.pool.fetchrow("SELECT status, firings, outputs FROM executions")
    assert row is not None
    assert (row["status"], row["firings"]) == ("COMPLETED", 1 + 2 * ITEMS + ITEMS)
    assert json.loads(row["outputs"]) == [["o", [number, number]] for number in range(1_000)]
    bodies = await load.pool.fetch("SELECT body FROM journal ORDER BY seq")
    records = [record for each in bodies for record in decode_records(each["body"])]
    assert sorted(record[1] for record in records if record[0] == "end") == list(range(1, 2 + 3 * ITEMS))


async def test_nothing_is_lost_when_the_database_is_killed(load: Load, home: Path) -> None:
    runs = max(20, RUNS // 4)
    await load.queue(runs)
    async with load.worker() as process:
        for _ in range(2):
            before = await events(load)
            await until(partial(grown, load, before), SECONDS)
            killed = postmaster(home)
            os.kill(killed, signal.SIGKILL)
            await until(partial(started_again, load, home, killed), SECONDS)
        await until(lambda: all_over(load), SECONDS)
        assert process.returncode is None, "the worker died with the database"
    await load.verify(runs)


async def nothing_waits(load: Load) -> bool:
    return not await load.waiting()


async def entered(load: Load, process: asyncio.subprocess.Process) -> bool:
    """Whether the process has its lease: the next thing that it does is to claim runs."""
    return bool(await load.pool.fetchval(f"SELECT count(*) FROM workers WHERE name LIKE '%:{process.pid}:%'"))


async def events(load: Load) -> int:
    return int(await load.pool.fetchval("SELECT coalesce(sum(count), 0) FROM journal"))


async def got_to(load: Load, records: int) -> bool:
    return await all_over(load) or await events(load) > records


async def grown(load: Load, before: int) -> bool:
    return await all_over(load) or await events(load) > before + 2 * RUNS


async def all_over(load: Load) -> bool:
    open_runs = f"SELECT count(*) FROM executions WHERE parent_id IS NULL AND NOT {OVER}"
    return int(await load.pool.fetchval(open_runs)) == 0


def postmaster(home: Path) -> int:
    """The process id of the server; 0 while there is none."""
    try:
        return int((home / "postgres" / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return 0


async def started_again(load: Load, home: Path, killed: int) -> bool:
    """Whether a new server answers: the old one's sessions may outlive it for a moment."""
    if postmaster(home) in (0, killed):
        return False
    try:
        return bool(await load.pool.fetchval("SELECT true"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return False
