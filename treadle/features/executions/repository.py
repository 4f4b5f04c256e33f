"""Runs in the database as people see them: through the api role, in one workspace."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.base.reading import WorkspaceReader
from treadle.engine.store import EXECUTION_COLUMNS, ExecutionRow, execution_row, journal_records
from treadle.features.executions.times import lowest_id
from treadle.kernel.plan import Plan, decode_plan
from treadle.kernel.records import Record, references

_PLANS_KEPT = 200
_ROWS_AT_ONCE = 20
"""Of the journal, each with up to 2,000 records."""
_JOURNAL = (
    "SELECT seq, body FROM journal WHERE root_id = $1 AND execution_id = $2 AND workspace_id = $3"
    " AND seq + count > $4 AND seq >= coalesce((SELECT max(seq) FROM journal"
    " WHERE root_id = $1 AND execution_id = $2 AND workspace_id = $3 AND seq <= $4), 0) ORDER BY seq LIMIT $5"
)
_MENTIONS = (
    "SELECT true FROM journal WHERE root_id = $1 AND execution_id = $2 AND workspace_id = $3"
    " AND position($4 IN body) > 0 LIMIT 1"
)
_BELOW = (
    "SELECT id, parent_id, nodes::text FROM executions"
    " WHERE root_id = $1 AND workspace_id = $2 AND parent_id IS NOT NULL ORDER BY id"
)
_FAMILY = (
    f"SELECT {EXECUTION_COLUMNS} FROM executions WHERE workspace_id = $2"
    " AND (id = $1 OR (root_id = $1 AND parent_id IS NOT NULL)) ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class Below:
    """A sub-agent's run: who started it, and what its nodes did (``treadle.engine.summary.Summary.nodes``)."""

    id: ExecutionId
    parent_id: ExecutionId
    nodes: dict[str, list[int]]


class ExecutionRepository:
    """Runs and their journals."""

    def __init__(self, reader: WorkspaceReader) -> None:
        self._reader = reader
        self._plans: OrderedDict[tuple[WorkspaceId, bytes], Plan] = OrderedDict()

    async def execution(self, workspace: WorkspaceId, id: ExecutionId) -> ExecutionRow:
        """One run's summary. Raises ``NotFound``."""
        query = f"SELECT {EXECUTION_COLUMNS} FROM executions WHERE id = $1 AND workspace_id = $2"
        row = await self._reader.fetchrow(workspace, query, id, workspace)
        if row is None:
            raise _unknown(id)
        return execution_row(row)

    async def family(self, workspace: WorkspaceId, id: ExecutionId) -> list[ExecutionRow]:
        """The run and everything that it runs as sub-agents, parents first. Raises ``NotFound``."""
        row = await self.execution(workspace, id)
        rows = [execution_row(each) for each in await self._reader.fetch(workspace, _FAMILY, row.root_id, workspace)]
        below: dict[ExecutionId | None, list[ExecutionRow]] = {}
        for each in rows:
            below.setdefault(each.parent_id, []).append(each)
        ordered = [row]
        for each in ordered:
            ordered.extend(below.get(each.id, ()))
        return ordered

    async def below(self, row: ExecutionRow) -> list[Below]:
        """The runs that a run has started as sub-agents, and theirs, in the order in which they were made."""
        found = await self._reader.fetch(row.workspace_id, _BELOW, row.root_id, row.workspace_id)
        above = {row.id}
        wanted: list[Below] = []
        parents = {each["id"]: each["parent_id"] for each in found}
        for each in found:
            path = []
            id = each["id"]
            while id not in above and id in parents:
                path.append(id)
                id = parents[id]
            if id in above:
                above.update(path)
                wanted.append(Below(each["id"], each["parent_id"], msgspec.json.decode(each["nodes"])))
        return wanted

    async def records(self, row: ExecutionRow, *, after: int = 0, rows: int) -> list[tuple[int, Record]]:
        """(number, record) that follow number ``after``: those of the next ``rows`` rows of the journal."""
        found = await self._reader.fetch(
            row.workspace_id, _JOURNAL, row.root_id, row.id, row.workspace_id, after + 1, rows
        )
        return journal_records(found, after)

    async def journal(self, row: ExecutionRow, *, after: int = 0) -> AsyncIterator[list[tuple[int, Record]]]:
        """All that follow number ``after``, piece by piece."""
        while piece := await self.records(row, after=after, rows=_ROWS_AT_ONCE):
            yield piece
            after = piece[-1][0]

    async def mentions(self, row: ExecutionRow, digest: str) -> bool:
        """Whether the run's row or journal refers to a large value."""
        if any(each.digest == digest for each in references([row.inputs, row.outputs])):
            return True
        found = await self._reader.fetchval(
            row.workspace_id, _MENTIONS, row.root_id, row.id, row.workspace_id, digest.encode()
        )
        return bool(found)

    async def plan(self, row: ExecutionRow) -> Plan:
        """The plan that the run follows. It never changes, so it is remembered."""
        key = (row.workspace_id, row.plan_digest)
        plan = self._plans.get(key)
        if plan is None:
            query = "SELECT body FROM plans WHERE workspace_id = $1 AND digest = $2"
            plan = decode_plan(await self._reader.fetchval(row.workspace_id, query, *key))
            if len(self._plans) >= _PLANS_KEPT:
                self._plans.popitem(last=False)
            self._plans[key] = plan
        return plan

    async def failed(self, workspace: WorkspaceId, graph: GraphId, since: datetime, limit: int) -> list[ExecutionId]:
        """The agent's failed runs that were created since then, oldest first."""
        query = (
            "SELECT id FROM executions WHERE workspace_id = $1 AND parent_id IS NULL AND graph_id = $2"
            " AND status = 'FAILED' AND status <> 'COMPLETED' AND id >= $3 AND created_at >= $4 ORDER BY id LIMIT $5"
        )
        rows = await self._reader.fetch(workspace, query, workspace, graph, lowest_id(since), since, limit)
        return [ExecutionId(row["id"]) for row in rows]

    async def delete(self, workspace: WorkspaceId, id: ExecutionId) -> None:
        """Remove a run that is over, with its sub-agents and all that is recorded of them.

        Raises:
            NotFound: no such run.
            Conflict: it is not over, or it is a sub-agent's.
        """
        outcome = await self._reader.fetchval(workspace, "SELECT executions_delete_v1($1)", id)
        if outcome == "unknown":
            raise _unknown(id)
        if outcome == "open":
            raise Conflict("The run is not over.", fix="Stop it first.")
        if outcome == "part":
            raise Conflict("It belongs to the run that started it.", fix="Delete that one.")


def _unknown(id: ExecutionId) -> NotFound:
    return NotFound(f"There is no execution {id}.", fix="List the executions to find its id.")
