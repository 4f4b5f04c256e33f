"""A database with journals that tests write themselves, and processes with a feed each.

What a worker does is done here step by step, so that everything else can come between: a commit, what its process is
told of it, a lease that goes to another process.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from tests.engine.harness import chain
from treadle.base.database import DatabaseUrls, create_pool
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, uuid7
from treadle.engine.journal import Rows
from treadle.features.live.elsewhere import Elsewhere
from treadle.features.live.feed import Feed
from treadle.features.live.past import Past
from treadle.features.live.viewer import Viewer
from treadle.kernel.plan import Plan
from treadle.kernel.records import Record, decode_records, encode_records
from treadle.web.live.telling import Words

PLAN = chain("pure", "effect")
SILENT = ("note", "open", "stop", "sub")
"""Records that tell nothing."""


@dataclass(slots=True)
class Run:
    """An execution whose journal the test writes."""

    id: ExecutionId
    root: ExecutionId
    seq: int = 0
    told: list[int] = field(default_factory=list)
    """Numbers of the records that tell something."""

    def records(self, count: int, *, close: bool = False) -> list[Record]:
        """The next records: a beginning, then ends of firings and, every third, a note."""
        made: list[Record] = []
        for seq in range(self.seq + 1, self.seq + count + 1):
            if seq == 1:
                made.append(("begin", 0, {}, False, {"format": 1}))
            elif seq % 3 == 0:
                made.append(("note", 1, "to itself"))
            else:
                made.append(("end", seq, [("value", seq)], "", 0, 0, {}, 0))
        if close:
            made.append(("close", "COMPLETED", 0, ""))
        self.told.extend(seq for seq, each in enumerate(made, self.seq + 1) if each[0] not in SILENT)
        self.seq += len(made)
        return made


class Process:
    """A process with a feed, which may hold roots."""

    def __init__(self, urls: DatabaseUrls) -> None:
        self.holds: set[ExecutionId] = set()
        self.untold: deque[tuple[Rows, set[UUID]]] = deque()
        """What is durable, and the journal's writer has not come to tell yet."""
        self.watching: list[Watching] = []
        self._urls = urls

    async def start(self) -> "Process":
        self._pool = await create_pool(self._urls.api, min_size=0, max_size=3)
        elsewhere = Elsewhere(self._urls.api, self._pool)
        self.feed = Feed(Past(self._pool), Words(), elsewhere, self.holds.__contains__)
        elsewhere.start()
        return self

    async def stop(self) -> None:
        """It dies: what it had not told it never tells."""
        for each in list(self.watching):
            await each.leave()
        self.untold.clear()
        await self.feed.close()
        self._pool.terminate()

    def tell(self) -> None:
        """The journal's writer comes to tell what it has written first."""
        if self.untold:
            self.feed.committed(*self.untold.popleft())

    def tell_all(self) -> None:
        while self.untold:
            self.tell()


class Watching:
    """Somebody who watches an execution in a process, as fast as it is told."""

    def __init__(self, process: Process, known: list[int]) -> None:
        self.process = process
        self.viewer: Viewer = process.feed.viewer()
        self.known = known
        """Numbers of the events that it was given, over all its connections."""
        self.over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        process.watching.append(self)

    async def begin(self, id: ExecutionId) -> "Watching":
        subject = await self.process.feed.past.subject(LOCAL_WORKSPACE, id)
        await self.viewer.subscribe(subject, self.known[-1] if self.known else 0)
        if self.viewer.subscriptions:
            self._task = asyncio.get_running_loop().create_task(self._take())
        else:
            self.over.set()
        return self

    async def leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.viewer.leave()
        self.process.watching.remove(self)

    async def _take(self) -> None:
        while True:
            for event in await self.viewer.take():
                assert msgspec.json.decode(event.text)["seq"] == event.seq
                self.known.append(event.seq)
                if event.final:
                    self.over.set()


@dataclass(slots=True)
class World:
    """The database, as a worker sees it."""

    urls: DatabaseUrls
    connection: asyncpg.Connection
    plan: Plan = PLAN

    async def run(self, parent: Run | None = None) -> Run:
        """A new execution, which runs."""
        id = ExecutionId(uuid7())
        run = Run(id, parent.root if parent else id)
        await self.connection.execute(
            "INSERT INTO executions (id, root_id, parent_id, workspace_id, graph_id, graph_version, plan_digest,"
            " status, format) VALUES ($1, $2, $3, $4, $5, $6, $7, 'RUNNING', 1)",
            run.id,
            run.root,
            parent.id if parent else None,
            LOCAL_WORKSPACE,
            self.plan.graph_id,
            self.plan.graph_version,
            self.plan.digest,
        )
        return run

    async def commit(self, process: Process, run: Run, *sizes: int, close: bool = False) -> None:
        """Write rows with so many records each; the process is told when the test says so."""
        rows = Rows()
        rows.owners, rows.owner_epochs, rows.owner_workspaces = [run.root], [1], [LOCAL_WORKSPACE]
        for position, size in enumerate(sizes):
            first = run.seq + 1
            records = run.records(size, close=close and position == len(sizes) - 1)
            rows.roots.append(run.root)
            rows.executions.append(run.id)
            rows.workspaces.append(LOCAL_WORKSPACE)
            rows.epochs.append(1)
            rows.seqs.append(first)
            rows.counts.append(len(records))
            rows.bodies.append(encode_records(records))
        await self._write(rows, run, close)
        process.untold.append((rows, {run.root}))

    async def _write(self, rows: Rows, run: Run, close: bool) -> None:
        written = zip(rows.roots, rows.executions, rows.seqs, rows.counts, rows.workspaces, rows.bodies, strict=True)
        async with self.connection.transaction():
            await self.connection.executemany(
                "INSERT INTO journal (root_id, execution_id, seq, count, epoch, workspace_id, body)"
                " VALUES ($1, $2, $3, $4, 1, $5, $6)",
                list(written),
            )
            if close:
                rows.changed.append({"id": run.id, "root_id": run.root, "status": "COMPLETED", "outputs": []})
                await self.connection.execute(
                    "UPDATE executions SET status = 'COMPLETED', last_seq = $2, ended_at = now() WHERE id = $1",
                    run.id,
                    run.seq,
                )


@contextlib.asynccontextmanager
async def new_world(urls: DatabaseUrls) -> AsyncIterator[World]:
    """A world with one plan."""
    connection = await asyncpg.connect(urls.engine)
    try:
        await connection.execute(
            "INSERT INTO plans (workspace_id, digest, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            LOCAL_WORKSPACE,
            PLAN.digest,
            PLAN.body,
        )
        yield World(urls, connection)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def processes(urls: DatabaseUrls, count: int) -> AsyncIterator[list[Process]]:
    """So many processes; they are stopped at the end."""
    started = [await Process(urls).start() for _ in range(count)]
    try:
        yield started
    finally:
        for each in started:
            await each.stop()


async def told_in(connection: asyncpg.Connection, id: UUID) -> list[int]:
    """Numbers of the records in a journal that tell something."""
    rows: list[Any] = await connection.fetch("SELECT seq, body FROM journal WHERE execution_id = $1 ORDER BY seq", id)
    return [
        seq
        for row in rows
        for seq, record in enumerate(decode_records(row["body"]), row["seq"])
        if record[0] not in SILENT
    ]
