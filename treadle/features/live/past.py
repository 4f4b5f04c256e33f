"""What is durable of a run: read through the api role, inside one workspace at a time."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from treadle.base.database import Connection, enter_workspace
from treadle.base.errors import NotFound
from treadle.base.ids import ExecutionId, GraphId, NodeId, WorkspaceId
from treadle.engine.journal import ROWS_OF
from treadle.kernel.plan import decode_plan
from treadle.kernel.records import unmarked
from treadle.kernel.states import Status

PAGE_BYTES = 64 * 1024
"""Of journal rows that are read at once; one row at least."""
_PAGE_ROWS = 64
_AT_ONCE = 4
"""Reads of one process that run side by side; the others wait for their turn."""
_PLANS_KEPT = 500
_NEWEST = 100

_SUBJECT = "id, root_id, parent_id, workspace_id, graph_id, graph_version, plan_digest, status, last_seq"
_STANDING = (
    "id, graph_id, graph_version, status, error, created_at, started_at, ended_at, wake_at FROM executions"
    " WHERE workspace_id = $1 AND parent_id IS NULL"
)
_NEWS = """
SELECT wanted.execution, page.seq, page.count, page.body
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS wanted (root, execution, after)
CROSS JOIN LATERAL (
    SELECT seq, count, body, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
    FROM (
        -- The lower bound of seq lets the index skip what comes long before: no row carries more records than that.
        SELECT seq, count, body FROM journal
        WHERE root_id = wanted.root AND execution_id = wanted.execution
            AND seq > wanted.after - $4 AND seq + count > wanted.after + 1
        ORDER BY seq LIMIT $5
    ) AS following
) AS page
WHERE page.before < $6
ORDER BY wanted.execution, page.seq
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """An execution, as far as watching it needs to know it."""

    id: ExecutionId
    root: ExecutionId
    parent: ExecutionId | None
    workspace: WorkspaceId
    graph: GraphId
    graph_version: int
    plan: bytes
    """The digest of its plan."""
    status: Status = Status.RUNNING
    last_seq: int = 0
    """Number of its last record, once it is over."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands, in a list."""

    id: ExecutionId
    graph_id: GraphId
    graph_version: int
    status: Status
    error: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the journal: the records ``seq`` to ``last``, as they were written."""

    seq: int
    count: int
    body: bytes

    @property
    def last(self) -> int:
        return self.seq + self.count - 1


Place = tuple[ExecutionId, ExecutionId, int]
"""(root, execution, number of the last record that is known)."""


class Past:
    """Reads for all that watch in this process."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._plans: OrderedDict[bytes, tuple[NodeId, ...]] = OrderedDict()

    async def subject(self, workspace: WorkspaceId, id: ExecutionId) -> Subject:
        """The execution. Raises ``NotFound``."""
        async with self._inside(workspace) as connection:
            row = await connection.fetchrow(
                f"SELECT {_SUBJECT} FROM executions WHERE id = $1 AND workspace_id = $2", id, workspace
            )
        if row is None:
            raise NotFound(f"There is no execution {id}.", fix="List the executions to find its id.")
        return _subject(row)

    async def descendants(self, workspace: WorkspaceId, root: ExecutionId) -> list[Subject]:
        """The sub-agents of a root, parents first."""
        async with self._inside(workspace) as connection:
            rows = await connection.fetch(
                f"SELECT {_SUBJECT} FROM executions WHERE root_id = $1 AND parent_id IS NOT NULL"
                " AND workspace_id = $2 ORDER BY id",
                root,
                workspace,
            )
        return _parents_first(root, [_subject(row) for row in rows])

    async def rows(self, workspace: WorkspaceId, root: ExecutionId, id: ExecutionId, after: int) -> list[Row]:
        """The next rows of a journal; the first of them may begin before ``after``."""
        return (await self.news(workspace, [(root, id, after)])).get(id, [])

    async def news(self, workspace: WorkspaceId, places: Sequence[Place]) -> dict[ExecutionId, list[Row]]:
        """The next rows of several journals."""
        async with self._inside(workspace) as connection:
            found = await connection.fetch(
                _NEWS,
                [root for root, _, _ in places],
                [id for _, id, _ in places],
                [after for _, _, after in places],
                ROWS_OF,
                _PAGE_ROWS,
                PAGE_BYTES,
            )
        rows: dict[ExecutionId, list[Row]] = {}
        for each in found:
            rows.setdefault(ExecutionId(each["execution"]), []).append(Row(each["seq"], each["count"], each["body"]))
        return rows

    async def nodes(self, subject: Subject) -> tuple[NodeId, ...]:
        """The nodes of the execution's plan, by index."""
        known = self._plans.get(subject.plan)
        if known is None:
            async with self._inside(subject.workspace) as connection:
                body = await connection.fetchval(
                    "SELECT body FROM plans WHERE workspace_id = $1 AND digest = $2", subject.workspace, subject.plan
                )
            known = self._plans[subject.plan] = tuple(node.id for node in decode_plan(body).nodes)
            if len(self._plans) > _PLANS_KEPT:
                self._plans.popitem(last=False)
        return known

    async def outputs(self, subject: Subject) -> list[Any]:
        """The outputs of an execution that is over: pairs of name and value."""
        async with self._inside(subject.workspace) as connection:
            text = await connection.fetchval(
                "SELECT outputs FROM executions WHERE id = $1 AND workspace_id = $2", subject.id, subject.workspace
            )
        return [] if text is None else list(unmarked(msgspec.json.decode(text)))

    async def standing(self, workspace: WorkspaceId, ids: Iterable[ExecutionId]) -> list[Standing]:
        """How these roots stand; those that are gone are left out."""
        async with self._inside(workspace) as connection:
            rows = await connection.fetch(f"SELECT {_STANDING} AND id = ANY ($2)", workspace, list(ids))
        return [_standing(row) for row in rows]

    async def newest(self, workspace: WorkspaceId) -> list[Standing]:
        """How the newest runs stand."""
        async with self._inside(workspace) as connection:
            rows = await connection.fetch(f"SELECT {_STANDING} ORDER BY id DESC LIMIT {_NEWEST}", workspace)
        return [_standing(row) for row in rows]

    @contextlib.asynccontextmanager
    async def _inside(self, workspace: WorkspaceId) -> AsyncIterator[Connection]:
        async with self._turns, self._pool.acquire() as connection, connection.transaction(readonly=True):
            await enter_workspace(connection, workspace)
            yield connection


def _subject(row: asyncpg.Record) -> Subject:
    id, root, parent, workspace, graph, version, plan, status, last = row
    return Subject(id, root, parent, workspace, graph, version, plan, Status(status), last)


def _standing(row: asyncpg.Record) -> Standing:
    return Standing(**{**row, "status": Status(row["status"])})


def _parents_first(root: ExecutionId, found: Iterable[Subject]) -> list[Subject]:
    """Ids alone do not tell: a parent and its child may be made in the same millisecond."""
    below: dict[ExecutionId | None, list[Subject]] = {}
    for each in found:
        below.setdefault(each.parent, []).append(each)
    ordered = list(below.get(root, ()))
    for each in ordered:
        ordered.extend(below.get(each.id, ()))
    return ordered
