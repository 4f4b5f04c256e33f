"""From the journal back to a running state: the same fold as a live run, over the records that are durable."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from treadle.base.ids import ExecutionId, WorkspaceId
from treadle.engine.journal import Journal
from treadle.engine.ports import Blobs, Services
from treadle.engine.root import Root
from treadle.engine.run import Run
from treadle.engine.store import ExecutionRow, Store
from treadle.engine.summary import fold_summary
from treadle.kernel.plan import Plan
from treadle.kernel.records import Record, apply, decode_records, references, resolved
from treadle.kernel.snapshot import restore
from treadle.kernel.states import FINAL

_JOURNAL = (
    "SELECT execution_id, seq, count, body FROM journal"
    " WHERE root_id = ANY ($1) AND seq + count > coalesce("
    "   (SELECT max(s.seq) FROM snapshots s WHERE s.execution_id = journal.execution_id), 0) + 1"
    " ORDER BY execution_id, seq"
)
_SNAPSHOTS = (
    "SELECT DISTINCT ON (execution_id) execution_id, seq, body FROM snapshots WHERE root_id = ANY ($1)"
    " ORDER BY execution_id, seq DESC"
)
_RESUME = "SELECT executions_resume_v1($1, $2)"


class Recovery:
    """Brings claimed roots into memory."""

    def __init__(self, pool: asyncpg.Pool, store: Store, services: Services, journal: Journal) -> None:
        self._pool = pool
        self._store = store
        self._services = services
        self._journal = journal
        self._plans: dict[bytes, Plan] = {}

    async def roots(self, claimed: Iterable[ExecutionRow], on_over: Any) -> list[Root]:
        """A root for each claimed row, folded up to its last durable record. Nothing of them runs yet."""
        rows = list(claimed)
        ids = [row.id for row in rows]
        tree = await self._store.tree(ids)
        await self._load_plans(tree)
        journals = await self._journals(ids)
        snapshots = {row["execution_id"]: (row["seq"], row["body"]) for row in await self._pool.fetch(_SNAPSHOTS, ids)}
        await self._pool.execute(_RESUME, ids, [row.epoch for row in rows])
        contents = await self._contents(rows[0].workspace_id, journals, tree) if rows else {}
        runs: dict[ExecutionId, Run] = {}
        for row in tree:
            runs[row.id] = self._run(row, runs, journals.get(row.id, []), snapshots.get(row.id), contents)
        return [self._root(row, runs, tree, on_over) for row in rows]

    async def _load_plans(self, tree: list[ExecutionRow]) -> None:
        missing = {(row.workspace_id, row.plan_digest) for row in tree if row.plan_digest not in self._plans}
        if missing:
            self._plans.update(await self._store.plans(list(missing)))

    async def _journals(self, ids: list[ExecutionId]) -> dict[UUID, list[tuple[int, Record]]]:
        journals: dict[UUID, list[tuple[int, Record]]] = {}
        for row in await self._pool.fetch(_JOURNAL, ids):
            records = enumerate(decode_records(row["body"]), row["seq"])
            journals.setdefault(row["execution_id"], []).extend(records)
        return journals

    async def _contents(
        self, workspace: WorkspaceId, journals: Mapping[UUID, list[tuple[int, Record]]], tree: list[ExecutionRow]
    ) -> dict[str, Any]:
        owners = {row.id: row.workspace_id for row in tree}
        wanted = {
            reference.digest: owners.get(ExecutionId(id), workspace)
            for id, journal in journals.items()
            for _, record in journal
            for reference in references(record)
        }
        return await load_contents(self._services.blobs, wanted)

    def _run(
        self,
        row: ExecutionRow,
        runs: Mapping[ExecutionId, Run],
        journal: list[tuple[int, Record]],
        snapshot: tuple[int, bytes] | None,
        contents: Mapping[str, Any],
    ) -> Run:
        parent = None
        if row.parent_id is not None and row.parent_firing is not None:
            parent = (runs[row.parent_id], row.parent_firing, row.parent_slot or 0)
        run = Run(row.id, self._plans[row.plan_digest], self._services, parent=parent, settings=row.settings)
        if parent is not None:
            parent[0].children[parent[1], parent[2]] = run
        if snapshot is not None:
            run.seq = snapshot[0]
            restore(run.machine, run.summary, msgspec.json.decode(snapshot[1]))
        for seq, record in journal:
            if seq > run.seq:
                replay(run, resolved(record, contents) if contents else record)
                run.seq = seq
        if row.status in FINAL:
            run.closed = (row.status.value, row.error)
        return run

    def _root(self, row: ExecutionRow, runs: Mapping[ExecutionId, Run], tree: list[ExecutionRow], on_over: Any) -> Root:
        root = Root(runs[row.id], row.workspace_id, row.epoch, self._services, self._journal, on_over)
        for each in tree:
            if each.root_id == row.id:
                root.runs[each.id] = runs[each.id]
                root.firings += runs[each.id].machine.count
        return root


def replay(run: Run, record: Record) -> None:
    """Feed one durable record to a run that is being recovered."""
    machine = run.machine
    fold_summary(run.summary, machine, record)
    apply(machine, record)
    ready = machine.ready
    while ready and ready[0].number not in machine.firings:
        ready.popleft()


def go_on(root: Root, rows: Mapping[ExecutionId, ExecutionRow]) -> None:
    """Let a recovered root run: firings without a durable end start again, timers are set."""
    for run in list(root.runs.values()):
        if run.closed is not None:
            continue
        machine = run.machine
        if run.seq == 0:
            row = rows[run.id]
            root.begin(run, {int(node): values for node, values in row.inputs.items()}, {})
            continue
        machine.ready = machine.startable()
        for firing in list(machine.blocked_firings()):
            root.set_timer(run, firing)
        root.wake(run)


async def load_contents(blobs: Blobs, wanted: Mapping[str, WorkspaceId]) -> dict[str, Any]:
    """The large values with these digests."""
    bodies = await asyncio.gather(*(blobs.get(workspace, digest) for digest, workspace in wanted.items()))
    return {digest: decode_records(body)[0][1] for digest, body in zip(wanted, bodies, strict=True)}
