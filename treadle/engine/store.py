"""The engine's queries: executions are queued, read and told things here; the journal writes the rest."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import ExecutionId, GraphId, NodeId, WorkspaceId
from treadle.engine.bell import QUEUE
from treadle.engine.journal import ROWS_OF
from treadle.engine.large import first_records, kept_apart
from treadle.engine.ports import Bell, Blobs
from treadle.engine.summary import plain_json
from treadle.kernel.plan import Plan, decode_plan
from treadle.kernel.records import (
    FORMAT,
    REFERENCES_IN_ROWS,
    Record,
    decode_records,
    encode_records,
    references,
    unmarked,
)
from treadle.kernel.states import Status


@dataclass(frozen=True, slots=True)
class ListedExecution:
    """How an execution stands: its summary without its values, which may be many."""

    id: ExecutionId
    root_id: ExecutionId
    parent_id: ExecutionId | None
    parent_firing: int | None
    parent_slot: int | None
    workspace_id: WorkspaceId
    graph_id: GraphId
    graph_version: int
    plan_digest: bytes
    status: Status
    epoch: int
    error: str | None
    firings: int
    failed: int
    cost: int
    last_seq: int
    rerun_of: ExecutionId | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExecutionRow(ListedExecution):
    """An execution's summary. Large values in it are references."""

    settings: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    outputs: list[tuple[str, Any]]
    warnings: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    nodes: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class OpenReview:
    """A firing that waits until a person approves, changes or rejects its data. Large values in it are references."""

    execution_id: ExecutionId
    """The run or sub-agent in which it waits; the decision is addressed to it."""
    root_id: ExecutionId
    firing: int
    node_id: NodeId
    payload: dict[str, Any]
    """``data``, ``message``, ``editable``."""
    created_at: datetime


_QUEUE = (
    "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format,"
    " settings, inputs, idempotency_key, rerun_of, last_seq)"
    " VALUES ($1, $1, $2, $3, $4, $5, 'QUEUED', $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING id"
)
_QUEUE_RERUN = (
    f"WITH queued AS ({_QUEUE}), first AS ("
    " INSERT INTO journal (root_id, execution_id, seq, count, epoch, workspace_id, body)"
    " SELECT q.id, q.id, r.seq, r.count, 0, $2, r.body"
    " FROM queued q CROSS JOIN unnest($12::bigint[], $13::integer[], $14::bytea[]) AS r(seq, count, body)"
    ") SELECT id FROM queued"
)
_LISTED = tuple(each.name for each in fields(ListedExecution))
_ALL = tuple(each.name for each in fields(ExecutionRow))
_JSON = ("settings", "inputs", "outputs", "warnings", "failures", "nodes")
_COLUMNS = ", ".join(_ALL)
_LISTED_COLUMNS = ", ".join(_LISTED)


def execution_row(record: asyncpg.Record) -> ExecutionRow:
    """A row of the executions table."""
    values = {name: record[name] for name in _ALL}
    for name in _JSON:
        text = values[name]
        values[name] = unmarked(msgspec.json.decode(text)) if '{"$' in text else msgspec.json.decode(text)
    values["status"] = Status(values["status"])
    values["outputs"] = [(name, value) for name, value in values["outputs"]]
    return ExecutionRow(**values)


def _listed(record: asyncpg.Record) -> ListedExecution:
    values = {name: record[name] for name in _LISTED}
    return ListedExecution(**{**values, "status": Status(values["status"])})


def _open_review(record: asyncpg.Record) -> OpenReview:
    values = {name: record[name] for name in OpenReview.__slots__}
    return OpenReview(**{**values, "payload": unmarked(msgspec.json.decode(values["payload"]))})


class Store:
    """Queries on executions. Every one of them that serves people takes the workspace."""

    def __init__(self, pool: asyncpg.Pool, bell: Bell, blobs: Blobs) -> None:
        self._pool = pool
        self._bell = bell
        self._blobs = blobs
        self._saved_plans: set[tuple[WorkspaceId, bytes]] = set()

    async def save_plan(self, workspace: WorkspaceId, plan: Plan) -> None:
        """Keep the plan under its digest; saving it again changes nothing."""
        if (workspace, plan.digest) in self._saved_plans:
            return
        await self._pool.execute(
            "INSERT INTO plans (workspace_id, digest, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            workspace,
            plan.digest,
            plan.body,
        )
        self._saved_plans.add((workspace, plan.digest))

    async def plans(self, keys: Sequence[tuple[WorkspaceId, bytes]]) -> dict[bytes, Plan]:
        """The plans with these digests."""
        rows = await self._pool.fetch(
            "SELECT p.digest, p.body FROM plans p JOIN unnest($1::uuid[], $2::bytea[]) AS k(workspace, digest)"
            " ON p.workspace_id = k.workspace AND p.digest = k.digest",
            [workspace for workspace, _ in keys],
            [digest for _, digest in keys],
        )
        return {row["digest"]: decode_plan(row["body"]) for row in rows}

    async def enqueue(
        self,
        id: ExecutionId,
        workspace: WorkspaceId,
        plan: Plan,
        inputs: Mapping[int, Mapping[str, Any]],
        *,
        settings: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        rerun: tuple[ExecutionId, Sequence[Record]] | None = None,
    ) -> ExecutionId:
        """Queue an execution; once this returns it will end. The id of the earlier one if the key was used before.

        Queueing the same id again changes nothing. ``rerun``: the earlier execution, and the first records.
        """
        await self.save_plan(workspace, plan)
        recorded = await kept_apart(list(inputs.values()), workspace, self._blobs)
        records = await first_records(rerun[1], workspace, self._blobs) if rerun else []
        values = (
            id,
            workspace,
            plan.graph_id,
            plan.graph_version,
            plan.digest,
            FORMAT,
            _text(dict(settings or {})),
            _text(plain_json(dict(zip(map(str, inputs), recorded, strict=True)))),
            idempotency_key,
            rerun[0] if rerun else None,
            len(records),
        )
        if records:
            found = await self._pool.fetchval(_QUEUE_RERUN, *values, *_journal_rows(records))
        else:
            found = await self._pool.fetchval(_QUEUE, *values)
        if found is None and idempotency_key is not None:
            return await self.by_key(workspace, idempotency_key)
        self._bell.ring(QUEUE)
        return id

    async def by_key(self, workspace: WorkspaceId, idempotency_key: str) -> ExecutionId:
        """The execution that was started with this key."""
        found = await self._pool.fetchval(
            "SELECT id FROM executions WHERE workspace_id = $1 AND idempotency_key = $2", workspace, idempotency_key
        )
        if found is None:
            raise NotFound(f"No execution was started with the key {idempotency_key!r}.")
        return ExecutionId(found)

    async def execution(self, workspace: WorkspaceId, id: ExecutionId) -> ExecutionRow:
        """One execution's summary. Raises ``NotFound``."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM executions WHERE id = $1 AND workspace_id = $2", id, workspace
        )
        if row is None:
            raise NotFound(f"There is no execution {id}.", fix="List the executions to find its id.")
        return execution_row(row)

    async def executions(
        self,
        workspace: WorkspaceId,
        *,
        limit: int = 50,
        before: ExecutionId | None = None,
        status: Status | None = None,
    ) -> list[ListedExecution]:
        """Root executions, newest first; ``before`` continues a list."""
        rows = await self._pool.fetch(
            f"SELECT {_LISTED_COLUMNS} FROM executions WHERE workspace_id = $1 AND parent_id IS NULL"
            " AND ($2::uuid IS NULL OR id < $2) AND ($4::text IS NULL OR status::text = $4) ORDER BY id DESC LIMIT $3",
            workspace,
            before,
            max(1, min(limit, 200)),
            status,
        )
        return [_listed(row) for row in rows]

    async def tree(self, roots: Sequence[ExecutionId]) -> list[ExecutionRow]:
        """These roots and all their descendants, parents first."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM executions WHERE id = ANY ($1) OR (root_id = ANY ($1) AND parent_id IS NOT NULL)"
            " ORDER BY id",
            list(roots),
        )
        below: dict[ExecutionId | None, list[ExecutionRow]] = defaultdict(list)
        for row in rows:
            below[row["parent_id"]].append(execution_row(row))
        ordered = below[None]  # ids alone do not tell: a parent and its child may be made in the same millisecond
        for each in ordered:
            ordered.extend(below[each.id])
        return ordered

    async def open_reviews(
        self, workspace: WorkspaceId, *, root: ExecutionId | None = None, limit: int = 200
    ) -> list[OpenReview]:
        """What waits for a person, oldest first: in one run with its sub-agents, or in all runs that are not over."""
        rows = await self._pool.fetch(
            "SELECT r.execution_id, r.root_id, r.firing, r.node_id, r.payload::text, r.created_at FROM reviews r"
            " JOIN executions e ON e.id = r.root_id WHERE r.workspace_id = $1 AND r.status = 'WAITING'"
            " AND ($2::uuid IS NULL OR r.root_id = $2) AND e.status NOT IN ('COMPLETED', 'FAILED', 'TERMINATED')"
            " ORDER BY r.created_at, r.firing LIMIT $3",
            workspace,
            root,
            max(1, min(limit, 200)),
        )
        return [_open_review(row) for row in rows]

    async def records(
        self, root: ExecutionId, id: ExecutionId, *, after: int = 0, limit: int | None = None
    ) -> list[tuple[int, Record]]:
        """The (sequence number, record) pairs of an execution that follow number ``after``."""
        rows = await self._pool.fetch(
            "SELECT seq, count, body FROM journal WHERE root_id = $1 AND execution_id = $2 AND seq + count > $3"
            " ORDER BY seq LIMIT $4",
            root,
            id,
            after + 1,
            limit,
        )
        return [
            (row["seq"] + offset, record)
            for row in rows
            for offset, record in enumerate(decode_records(row["body"]))
            if row["seq"] + offset > after
        ]

    async def has_worker(self) -> bool:
        """Whether some process runs what is queued."""
        return bool(await self._pool.fetchval("SELECT true FROM workers WHERE expires_at > clock_timestamp() LIMIT 1"))

    async def tell(
        self,
        workspace: WorkspaceId,
        id: ExecutionId,
        kind: str,
        key: str,
        *,
        firing: int | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Put a stop, a review decision or an outside event into the execution's inbox. The same key counts once.

        Raises:
            NotFound: no such execution.
            Conflict: it is over.
        """
        told = await self._pool.fetchval(
            "SELECT inbox_add_v1($1, $2, $3, $4, $5, $6)",
            workspace,
            id,
            kind,
            firing,
            _text(plain_json(await self._told(workspace, id, payload or {}))),
            key,
        )
        if told is None:
            raise NotFound(f"There is no execution {id}.", fix="List the executions to find its id.")
        if not told:
            raise Conflict(f"The execution {id} is over.")
        self._bell.ring(QUEUE)
        self._bell.ring(str(id))

    async def _told(self, workspace: WorkspaceId, id: ExecutionId, payload: Mapping[str, Any]) -> dict[str, Any]:
        """What a row of the inbox holds: large values as references, if whoever may hold the run can read them."""
        (recorded,) = await kept_apart([payload], workspace, self._blobs)
        if any(True for _ in references(recorded)):
            known = await self._pool.fetchval("SELECT format FROM executions WHERE id = $1", id)
            if known is not None and known < REFERENCES_IN_ROWS:
                return dict(payload)
        return recorded


def _journal_rows(records: Sequence[Record]) -> tuple[list[int], list[int], list[bytes]]:
    """First records as rows of the journal: their first numbers, how many each holds, their bodies."""
    parts = [list(records[offset : offset + ROWS_OF]) for offset in range(0, len(records), ROWS_OF)]
    firsts = list(range(1, len(records) + 1, ROWS_OF))
    return firsts, [len(part) for part in parts], [encode_records(part) for part in parts]


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
