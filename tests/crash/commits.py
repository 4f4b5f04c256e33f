"""A worker on PostgreSQL that is looked at after each of its commits, and killed before or after one of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

from tests.engine.harness import Engine
from treadle.base.ids import ExecutionId
from treadle.engine.store import ExecutionRow
from treadle.engine.worker import Worker
from treadle.kernel.plan import Plan

Look = Callable[[], Awaitable[None]]


async def nothing_to_see() -> None:
    """What is there after a commit does not matter."""


class Watched:
    """A worker whose every commit is looked at, and which dies before or after one of them."""

    def __init__(self, engine: Engine, look: Look = nothing_to_see) -> None:
        self.engine, self.look = engine, look
        self.commits = 0
        self.died = asyncio.Event()
        self.failed: AssertionError | None = None

    async def start(self, dies_at: int | None = None, *, written: bool = False) -> Worker:
        worker = await self.engine.start()
        write = worker.journal._write

        async def watched(*arguments: Any) -> Any:
            dies = self.commits == dies_at
            if dies and not written:
                await self._die()
            held = await write(*arguments)
            self.commits += 1
            await self._look()
            if dies:
                await self._die()
            return held

        worker.journal._write = watched  # type: ignore[method-assign, assignment]
        return worker

    async def _die(self) -> None:
        self.died.set()
        await asyncio.Event().wait()

    async def _look(self) -> None:
        try:
            await self.look()
        except AssertionError as error:
            self.failed = self.failed or error

    async def run(self, plan: Plan, dies_at: int, *, written: bool) -> ExecutionRow:
        """Run to the end: with another worker after the first has died, if it came to that commit."""
        worker = await self.start(dies_at, written=written)
        running = asyncio.create_task(self.engine.run(plan))
        dying = asyncio.create_task(self.died.wait())
        await asyncio.wait((running, dying), return_when=asyncio.FIRST_COMPLETED)
        if self.died.is_set():
            await self.engine.crash(worker)
            worker = await self.start()
            running.cancel()
            id = await self.engine.value("SELECT id FROM executions WHERE parent_id IS NULL")
            # Killed before the run was durable, nobody was told of it.
            running = asyncio.create_task(self.engine.finished(ExecutionId(id)) if id else self.engine.run(plan))
        dying.cancel()
        row = await running
        if self.failed is not None:
            raise self.failed
        return row


async def killed_at_every_commit(
    engine: Engine, plan: Plan, look: Look = nothing_to_see, *, written: bool
) -> AsyncIterator[ExecutionRow]:
    """The run as it ended after a kill at its first commit, at its second, and so on; at last without one."""
    for death in count():
        watched = Watched(engine, look)
        yield await watched.run(plan, death, written=written)
        await engine.workers.pop().close()
        for table in ("journal", "snapshots", "executions"):
            await engine.connection.execute(f"DELETE FROM {table}")
        if not watched.died.is_set():
            return
