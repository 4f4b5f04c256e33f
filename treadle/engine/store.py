"""The engine's queries: executions are queued, read and told things here; the journal writes the rest."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar

import asyncpg
import msgspec

from treadle.base.errors import BadInput, Conflict, NotFound
from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.engine.bell import QUEUE
from treadle.engine.journal import ROWS_OF
from treadle.engine.large import first_records, kept_apart
from treadle.engine.ports import Bell, Blobs
from treadle.engine.run import Asked
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
class ExecutionRow:
    """An execution's summary. Large values in it are references."""

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
    active_ms: int
    """For how long workers had it, before the one that has it now."""
    deaths: int
    """How many workers in a row have died while they had it, and nothing of it was done in between."""
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
    settings: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    outputs: list[tuple[str, Any]]
    warnings: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    nodes: dict[str, list[int]]


_QUEUE = (
    "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format,"
    " settings, inputs, idempotency_key, rerun_of, last_seq, request_digest)"
    " VALUES ($1, $1, $2, $3, $4, $5, 'QUEUED', $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING RETURNING id"
)
_QUEUE_RERUN = (
    f"WITH queued AS ({_QUEUE}), first AS ("
    " INSERT INTO journal (root_id, execution_id, seq, count, epoch, workspace_id, body)"
    " SELECT q.id, q.id, r.seq, r.count, 0, $2, r.body"
    " FROM queued q CROSS JOIN unnest($13::bigint[], $14::integer[], $15::bytea[]) AS r(seq, count, body)"
    ") SELECT id FROM queued"
)
_PLANS_AFTER = "SELECT digest, body FROM plans WHERE workspace_id = $1 AND digest > $2 ORDER BY digest LIMIT $3"
_PLANS_AT_ONCE = 100
_CHANGE_PLAN = "UPDATE plans SET body = $4 WHERE workspace_id = $1 AND digest = $2 AND body = $3"
_ALL = tuple(each.name for each in fields(ExecutionRow))
_JSON = ("settings", "inputs", "outputs", "warnings", "failures", "nodes")
EXECUTION_COLUMNS = ", ".join(_ALL)
"""What ``execution_row`` wants of the executions table."""


def execution_row(record: asyncpg.Record) -> ExecutionRow:
    """A row of the executions table."""
    values = {name: record[name] for name in _ALL}
    for name in _JSON:
        text = values[name]
        values[name] = unmarked(msgspec.json.decode(text)) if '{"$' in text else msgspec.json.decode(text)
    values["status"] = Status(values["status"])
    values["outputs"] = [(name, value) for name, value in values["outputs"]]
    return ExecutionRow(**values)


def journal_records(rows: Iterable[asyncpg.Record], after: int) -> list[tuple[int, Record]]:
    """(sequence number, record) of rows of the journal (``seq``, ``body``), those that follow number ``after``."""
    return [
        (row["seq"] + offset, record)
        for row in rows
        for offset, record in enumerate(decode_records(row["body"]))
        if row["seq"] + offset > after
    ]


class WorkspaceDeleted(NotFound):
    """No run begins in a workspace that was deleted."""

    code: ClassVar[str] = "workspace_deleted"


class AskedDifferently(BadInput):
    """Another request was made with the same idempotency key."""

    code: ClassVar[str] = "idempotency_key_reused"


@dataclass(frozen=True, slots=True)
class AskedBefore:
    """The execution that was started with a key."""

    id: ExecutionId
    digest: bytes | None

    def checked(self, asked: Asked) -> ExecutionId:
        """Its id. Raises ``AskedDifferently`` when something else was asked for."""
        if self.digest is not None and self.digest != asked.digest:
            raise AskedDifferently(
                "The idempotency key was used for another request.",
                fix="Make a new key for each thing that you want done; use it again only to ask for the same.",
            )
        return self.id


class Store:
    """What the engine itself asks about executions, and how they are queued and told things."""

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

    async def change_plans(self, workspace: WorkspaceId, change: Callable[[Plan], Plan]) -> None:
        """Let stored plans of a workspace say the same in another way. They keep their digests: runs refer to them.

        ``change`` gives a plan that it has nothing to do with back itself.
        """
        after = b""
        while rows := await self._pool.fetch(_PLANS_AFTER, workspace, after, _PLANS_AT_ONCE):
            for row in rows:
                plan = decode_plan(row["body"])
                changed = change(plan)
                if changed is not plan:
                    await self._pool.execute(_CHANGE_PLAN, workspace, row["digest"], row["body"], changed.body)
            after = rows[-1]["digest"]

    async def enqueue(
        self,
        id: ExecutionId,
        workspace: WorkspaceId,
        plan: Plan,
        inputs: Mapping[int, Mapping[str, Any]],
        *,
        settings: Mapping[str, Any] | None = None,
        asked: Asked | None = None,
        rerun: tuple[ExecutionId, Sequence[Record]] | None = None,
    ) -> ExecutionId:
        """Queue an execution; once this returns it will end. The id of the earlier one if the key was used before.

        Queueing the same id again changes nothing. ``rerun``: the earlier execution, and the first records.

        Raises:
            AskedDifferently: something else was asked for with that key.
            WorkspaceDeleted: nothing begins there any more.
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
            asked.key if asked else None,
            rerun[0] if rerun else None,
            len(records),
            asked.digest if asked else None,
        )
        with _refused_when_deleted():
            if records:
                found = await self._pool.fetchval(_QUEUE_RERUN, *values, *_journal_rows(records))
            else:
                found = await self._pool.fetchval(_QUEUE, *values)
        if found is None and asked is not None and (before := await self.asked_before(workspace, asked.key)):
            return before.checked(asked)
        self._bell.ring(QUEUE)
        return id

    async def asked_before(self, workspace: WorkspaceId, key: str) -> AskedBefore | None:
        """The execution that was started with this key."""
        found = await self._pool.fetchrow(
            "SELECT id, request_digest FROM executions WHERE workspace_id = $1 AND idempotency_key = $2", workspace, key
        )
        return None if found is None else AskedBefore(ExecutionId(found["id"]), found["request_digest"])

    async def execution(self, workspace: WorkspaceId, id: ExecutionId) -> ExecutionRow:
        """One execution's summary. Raises ``NotFound``."""
        row = await self._pool.fetchrow(
            f"SELECT {EXECUTION_COLUMNS} FROM executions WHERE id = $1 AND workspace_id = $2", id, workspace
        )
        if row is None:
            raise NotFound(f"There is no execution {id}.", fix="List the executions to find its id.")
        return execution_row(row)

    async def tree(self, roots: Sequence[ExecutionId]) -> list[ExecutionRow]:
        """These roots and all their descendants, parents first."""
        rows = await self._pool.fetch(
            f"SELECT {EXECUTION_COLUMNS} FROM executions"
            " WHERE id = ANY ($1) OR (root_id = ANY ($1) AND parent_id IS NOT NULL) ORDER BY id",
            list(roots),
        )
        below: dict[ExecutionId | None, list[ExecutionRow]] = defaultdict(list)
        for row in rows:
            below[row["parent_id"]].append(execution_row(row))
        ordered = below[None]  # ids alone do not tell: a parent and its child may be made in the same millisecond
        for each in ordered:
            ordered.extend(below[each.id])
        return ordered

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
        return journal_records(rows, after)

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


@contextlib.contextmanager
def _refused_when_deleted() -> Iterator[None]:
    """The database refuses a run in a deleted workspace, whoever asks for it: say so in plain words."""
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "executions_need_workspace":
            raise
        raise WorkspaceDeleted(
            "The workspace was deleted, so nothing begins there any more.",
            fix="Use another workspace, or have an administrator bring this one back.",
        ) from None


def _journal_rows(records: Sequence[Record]) -> tuple[list[int], list[int], list[bytes]]:
    """First records as rows of the journal: their first numbers, how many each holds, their bodies."""
    parts = [list(records[offset : offset + ROWS_OF]) for offset in range(0, len(records), ROWS_OF)]
    firsts = list(range(1, len(records) + 1, ROWS_OF))
    return firsts, [len(part) for part in parts], [encode_records(part) for part in parts]


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
