"""Lists of runs: filtered, newest first, with a total that is exact as far as anybody counts."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.base.paging import COUNTED, Total
from treadle.base.reading import WorkspaceReader
from treadle.features.executions.times import SKEW, began, lowest_id, seconds_between, within_reach
from treadle.features.graphs.single_block import block_named
from treadle.kernel.states import FINAL, Status
from treadle.sdk.registry import Registry

_MANY_SECONDS = 30.0
"""How long a list that was found to be longer than that is not counted again."""
_MANY_KEPT = 10_000
_NAMES_KEPT = 50_000

_LINES_KEPT = 20_000
_LINES_FORGOTTEN = 1_000
"""At once, when more would be kept."""

_LINES = (
    "SELECT id, status::text, graph_id, graph_version, left(error, 500), firings, failed, cost,"
    " created_at, started_at, ended_at, wake_at, rerun_of FROM executions WHERE workspace_id = $1 AND id = ANY ($2)"
)


class RunLine(msgspec.Struct, gc=False):
    """A run in a list: no inputs, no outputs."""

    id: UUID
    status: str
    graph_id: str
    graph_version: int
    error: str | None
    """The beginning of it."""
    firings: int
    failed: int
    cost: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    wake_at: datetime | None
    rerun_of: UUID | None
    graph_name: str = ""
    seconds: float = 0.0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RunLine)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; all when nothing is said."""

    graph: GraphId | None = None
    statuses: tuple[Status, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    text: str = ""
    """In the agent's name or in the failure's sentence."""


@dataclass(slots=True)
class _Query:
    """Conditions and their values, as they are put together."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, condition: str, *values: Any) -> None:
        """A condition in which ``{0}`` stands for the first of the values."""
        places = range(len(self.values) + 1, len(self.values) + len(values) + 1)
        self.values.extend(values)
        self.conditions.append(condition.format(*(f"${place}" for place in places)))

    def where(self) -> str:
        return " WHERE " + " AND ".join(self.conditions)


class RunLists:
    """The lists of one install.

    The database says which runs are in a list and how each stands. What a list tells of a run that is over never
    changes any more: it is encoded once, and remembered.
    """

    def __init__(self, reader: WorkspaceReader, registry: Registry) -> None:
        self._reader = reader
        self._registry = registry
        self._many: dict[tuple[WorkspaceId, RunFilter], float] = {}
        self._names: dict[tuple[WorkspaceId, str, int], str] = {}
        self._over: dict[UUID, bytes] = {}
        """The lines of runs that are over, as JSON."""

    async def page(
        self,
        workspace: WorkspaceId,
        wanted: RunFilter,
        *,
        limit: int,
        offset: int = 0,
        before: ExecutionId | None = None,
    ) -> list[RunLine]:
        """Root executions, newest first; ``before`` continues a list behind that run."""
        page = await self.encoded_page(workspace, wanted, limit=limit, offset=offset, before=before)
        return [_decoder.decode(line) for _, line in page]

    async def encoded_page(
        self,
        workspace: WorkspaceId,
        wanted: RunFilter,
        *,
        limit: int,
        offset: int = 0,
        before: ExecutionId | None = None,
    ) -> list[tuple[UUID, bytes]]:
        """The same, as ids and the JSON of each ``RunLine``."""
        query = _query(workspace, wanted)
        if before is not None:
            query.add("id < {0}", before)
        query.values += [limit, offset]
        places = len(query.values)
        sql = f"SELECT id, status::text FROM executions{query.where()} ORDER BY id DESC"
        sql += f" LIMIT ${places - 1} OFFSET ${places}"
        rows = await self._reader.fetch(workspace, sql, *query.values)
        known = self._over
        missing = [id for id, status in rows if status not in FINAL or id not in known]
        fresh = await self._encoded(workspace, missing) if missing else {}
        return [(id, line) for id, _ in rows if (line := fresh.get(id) or known.get(id)) is not None]

    async def _encoded(self, workspace: WorkspaceId, ids: list[UUID]) -> dict[UUID, bytes]:
        rows = await self._reader.fetch(workspace, _LINES, workspace, ids)
        names = await self.names(workspace, {(row[2], row[3]) for row in rows})
        now = datetime.now(UTC)
        encoded = {}
        if len(self._over) + len(rows) > _LINES_KEPT:
            for old in list(islice(self._over, _LINES_FORGOTTEN)):
                del self._over[old]
        for line in (_line(row, names, now) for row in rows):
            encoded[line.id] = _encoder.encode(line)
            if line.status in FINAL:
                self._over[line.id] = encoded[line.id]
        return encoded

    async def total(self, workspace: WorkspaceId, wanted: RunFilter) -> Total:
        """How many there are."""
        key = (workspace, wanted)
        now = time.monotonic()
        if self._many.get(key, 0.0) > now:
            return Total(COUNTED, exact=False)
        query = _query(workspace, wanted)
        sql = f"SELECT count(*) FROM (SELECT FROM executions{query.where()} LIMIT {COUNTED + 1}) AS counted"
        count: int = await self._reader.fetchval(workspace, sql, *query.values)
        if count <= COUNTED:
            return Total(count)
        if len(self._many) >= _MANY_KEPT:
            self._many.clear()
        self._many[key] = now + _MANY_SECONDS
        return Total(COUNTED, exact=False)

    async def names(self, workspace: WorkspaceId, versions: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """What these versions of graphs are called. A version never changes, so its name is asked for once."""
        known = self._names
        missing = [each for each in versions if (workspace, *each) not in known]
        if missing:
            found = await self._reader.fetch(
                workspace,
                "SELECT g.id, g.version, g.name FROM graphs g JOIN unnest($2::text[], $3::int[]) AS k(id, version)"
                " USING (id, version) WHERE g.workspace_id = $1",
                workspace,
                [id for id, _ in missing],
                [version for _, version in missing],
            )
            if len(known) >= _NAMES_KEPT:
                known.clear()
            known.update({(workspace, row["id"], row["version"]): row["name"] for row in found})
        return {each: known.get((workspace, *each)) or self._block(each[0]) for each in versions}

    def _block(self, graph: str) -> str:
        """The name of a run of a block by itself; its agent of one node is not saved."""
        block = block_named(graph, self._registry)
        return block.title if block else ""


def _query(workspace: WorkspaceId, wanted: RunFilter) -> _Query:
    query = _Query()
    query.add("workspace_id = {0} AND parent_id IS NULL", workspace)
    if wanted.graph is not None:
        query.add("graph_id = {0}", wanted.graph)
    if wanted.statuses:
        query.add(_status_condition(wanted.statuses), *wanted.statuses)
    if wanted.created_after is not None:
        after = within_reach(wanted.created_after)
        query.add("id >= {0} AND created_at > {1}", lowest_id(after), after)
    if wanted.created_before is not None:
        before = within_reach(wanted.created_before)
        query.add("id < {0} AND created_at < {1}", lowest_id(before + 2 * SKEW), before)
    if wanted.text:
        pattern = "%" + wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query.add(
            "(error ILIKE {0} OR (graph_id, graph_version) IN"
            " (SELECT g.id, g.version FROM graphs g WHERE g.workspace_id = {1} AND g.name ILIKE {0}))",
            pattern,
            workspace,
        )
    return query


def _status_condition(statuses: tuple[Status, ...]) -> str:
    """Says that completed runs are not wanted when they are not: those that are not have an index of their own."""
    listed = ", ".join(f"{{{place}}}::text::execution_status" for place in range(len(statuses)))
    unusual = "" if Status.COMPLETED in statuses else " AND status <> 'COMPLETED'"
    return f"status IN ({listed}){unusual}"


def _line(row: asyncpg.Record, names: Mapping[tuple[str, int], str], now: datetime) -> RunLine:
    line = RunLine(*row)
    line.graph_name = names[line.graph_id, line.graph_version]
    line.seconds = seconds_between(began(line.id, line.created_at, line.started_at), line.ended_at or now)
    return line
