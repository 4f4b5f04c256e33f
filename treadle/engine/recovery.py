"""From the journal back to a running state: the same fold as a live run, over the records that are durable."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import asyncpg

from treadle.base.ids import ExecutionId, WorkspaceId
from treadle.engine import snapshots
from treadle.engine.journal import DATABASE_GONE, GIVE_UP, Journal
from treadle.engine.large import load_contents
from treadle.engine.ports import Services
from treadle.engine.root import Root
from treadle.engine.run import Run
from treadle.engine.store import ExecutionRow, Store
from treadle.engine.summary import fold_summary
from treadle.kernel.plan import Plan
from treadle.kernel.records import FORMAT, Record, apply, decode_records, references, resolved
from treadle.kernel.states import FINAL

_JOURNAL = (
    "SELECT execution_id, seq, count, body FROM journal"
    " WHERE root_id = ANY ($1) AND seq + count > coalesce("
    "   (SELECT max(s.seq) FROM snapshots s WHERE s.execution_id = journal.execution_id AND s.format = $2), 0) + 1"
    " ORDER BY execution_id, seq"
)
_SNAPSHOTS = (
    "SELECT DISTINCT ON (execution_id) execution_id, seq, body FROM snapshots WHERE root_id = ANY ($1) AND format = $2"
    " ORDER BY execution_id, seq DESC"
)
_STORED = "SELECT root_id, sum(octet_length(body))::bigint AS bytes FROM journal WHERE root_id = ANY ($1) GROUP BY 1"
_RESUME = "SELECT executions_resume_v1($1, $2)"
_log = logging.getLogger(__name__)


class Recovery:
    """Brings claimed roots into memory."""

    def __init__(self, pool: asyncpg.Pool, store: Store, services: Services, journal: Journal) -> None:
        self._pool = pool
        self._store = store
        self._services = services
        self._journal = journal
        self._plans: dict[bytes, Plan] = {}

    async def roots(self, claimed: Iterable[ExecutionRow], on_over: Any) -> list[Root]:
        """A root for each claimed row, folded up to its last durable record. Nothing of them runs yet.

        A run that cannot be read back ends FAILED, and holds up no other.
        """
        rows = list(claimed)
        try:
            return await self._roots(rows, on_over)
        except DATABASE_GONE:
            raise
        except Exception as error:  # noqa: BLE001 (what breaks one run must not hold up the others)
            if len(rows) == 1:
                await self.give_up(rows[0].id, rows[0].epoch, error)
                return []
        middle = len(rows) // 2
        return [*await self.roots(rows[:middle], on_over), *await self.roots(rows[middle:], on_over)]

    async def give_up(self, root: ExecutionId, epoch: int, error: Exception) -> None:
        """End a run that cannot go on in any worker."""
        _log.error("a run cannot be taken up again", extra={"root": str(root)}, exc_info=error)
        reason = f"The run cannot be taken up again: {type(error).__name__}: {error}".replace("\0", "")
        await self._pool.fetchval(GIVE_UP, self._journal.worker, root, epoch, reason)

    async def _roots(self, rows: list[ExecutionRow], on_over: Any) -> list[Root]:
        ids = [row.id for row in rows]
        tree = await self._store.tree(ids)
        await self._load_plans(tree)
        journals = await self._journals(ids)
        states = {
            row["execution_id"]: (row["seq"], snapshots.read(row["body"]))
            for row in await self._pool.fetch(_SNAPSHOTS, ids, FORMAT)
        }
        await self._pool.execute(_RESUME, ids, [row.epoch for row in rows])
        contents = await self._contents(journals, states, tree)
        stored = {row["root_id"]: row["bytes"] for row in await self._pool.fetch(_STORED, ids)}
        runs: dict[ExecutionId, Run] = {}
        for row in tree:
            runs[row.id] = self._run(row, runs)
        roots = {row.id: self._root(row, runs, tree, on_over) for row in rows}
        try:
            for row in tree:
                journal, snapshot = journals.get(row.id, []), states.get(row.id)
                _fold(roots[row.root_id], runs[row.id], row, journal, snapshot, contents)
        except Exception:
            for root in roots.values():
                self._journal.forget(root)
            raise
        for root in roots.values():
            root.spent.stored_bytes = stored.get(root.id, 0)
            _take_stock(root)
        return list(roots.values())

    async def _load_plans(self, tree: list[ExecutionRow]) -> None:
        missing = {(row.workspace_id, row.plan_digest) for row in tree if row.plan_digest not in self._plans}
        if missing:
            self._plans.update(await self._store.plans(list(missing)))

    async def _journals(self, ids: list[ExecutionId]) -> dict[UUID, list[tuple[int, Record]]]:
        journals: dict[UUID, list[tuple[int, Record]]] = {}
        for row in await self._pool.fetch(_JOURNAL, ids, FORMAT):
            records = enumerate(decode_records(row["body"]), row["seq"])
            journals.setdefault(row["execution_id"], []).extend(records)
        return journals

    async def _contents(
        self,
        journals: Mapping[UUID, list[tuple[int, Record]]],
        states: Mapping[UUID, tuple[int, dict[str, Any]]],
        tree: list[ExecutionRow],
    ) -> dict[str, Any]:
        wanted: dict[str, WorkspaceId] = {}
        for row in tree:
            held: tuple[Any, ...] = [record for _, record in journals.get(row.id, ())], states.get(row.id)
            if row.id not in journals and row.id not in states:
                held = (row.inputs,)
            wanted.update((reference.digest, row.workspace_id) for reference in references(held))
        return await load_contents(self._services.blobs, wanted)

    def _run(self, row: ExecutionRow, runs: Mapping[ExecutionId, Run]) -> Run:
        """A run with nothing in it yet."""
        parent = None
        if row.parent_id is not None and row.parent_firing is not None:
            parent = (runs[row.parent_id], row.parent_firing, row.parent_slot or 0)
        run = Run(row.id, self._plans[row.plan_digest], self._services, parent=parent, settings=row.settings)
        if parent is not None:
            parent[0].children.setdefault(parent[1], {})[parent[2]] = run
        return run

    def _root(self, row: ExecutionRow, runs: Mapping[ExecutionId, Run], tree: list[ExecutionRow], on_over: Any) -> Root:
        root = Root(runs[row.id], row.workspace_id, row.epoch, self._services, self._journal, on_over)
        root.deaths = row.deaths
        root.spent.earlier_ms = row.active_ms
        root.spills.awake = False
        for each in tree:
            if each.root_id == row.id:
                root.joined(runs[each.id])
        return root


def _fold(
    root: Root,
    run: Run,
    row: ExecutionRow,
    journal: list[tuple[int, Record]],
    snapshot: tuple[int, dict[str, Any]] | None,
    contents: Mapping[str, Any],
) -> None:
    """Bring a run to where its durable records have led it."""
    if row.status in FINAL:
        run.closed = (row.status.value, row.error)
    if snapshot is not None:
        seq, state = snapshot
        snapshots.bring_back(run, seq, resolved(state, contents) if contents else state)
        root.spills.mind(run)
    for seq, record in journal:
        if seq > run.seq:
            replay(run, resolved(record, contents) if contents else record)
            run.seq = seq
    if not run.seq:
        inputs = resolved(row.inputs, contents) if contents else row.inputs
        run.inputs = {int(node): values for node, values in inputs.items()}
    run.spilling = run.seq > 0  # whoever held it before may have kept something elsewhere


def _take_stock(root: Root) -> None:
    """What the tree has used so far; sub-agents that nobody can read any more need not stay in memory."""
    for run in list(root.runs.values()):
        root.spent.firings += run.machine.count
        root.spent.credits += run.summary.cost
    for run in list(root.runs.values()):
        if run.parent is None or run.closed is None:
            continue
        parent, firing, _ = run.parent
        if firing not in parent.machine.firings:
            parent.children.pop(firing, None)
            del root.runs[run.id]


def replay(run: Run, record: Record) -> None:
    """Feed one durable record to a run that is being recovered."""
    machine = run.machine
    fold_summary(run.summary, machine, record)
    apply(machine, record)
    ready = machine.ready
    while ready and ready[0].number not in machine.firings:
        ready.popleft()


def go_on(root: Root) -> None:
    """Let a recovered root run: firings without a durable end start again, timers are set."""
    root.spills.awake = True
    for run in list(root.runs.values()):
        if run.closed is not None:
            continue
        machine = run.machine
        if run.seq == 0:
            root.begin(run, run.inputs)
            continue
        machine.ready = machine.startable()
        for firing in list(machine.blocked_firings()):
            root.set_timer(run, firing)
        root.wake(run)
