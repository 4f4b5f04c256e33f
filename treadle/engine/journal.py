"""The journal's writer: one per process, group commit.

Whatever all executions have recorded since the last commit goes to PostgreSQL in one call of ``journal_write_v3``: one
round trip, one transaction, one wait for the disk. While it runs, the next batch gathers.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import msgspec

from treadle.base.heap import give_back
from treadle.base.ids import ExecutionId, WorkerId, WorkspaceId
from treadle.base.outages import DATABASE_AWAY
from treadle.engine import snapshots, spilled_rows
from treadle.engine.ports import AtOnce
from treadle.engine.summary import storable
from treadle.kernel.budget import Spent
from treadle.kernel.records import Record, encode_records
from treadle.kernel.states import FINAL

if TYPE_CHECKING:
    from uuid import UUID

    from treadle.engine.run import Kept

ROWS_OF = 2_000
"""Records that one journal row carries at most."""
CALLS_AT_ONCE = 100
"""Roots that are told of a commit in one turn of the loop."""
OnCommitted = Callable[["Rows", set["UUID"]], None]
"""Given what was written, and the roots for which that is durable: rows of others are to be passed over."""
GIVE_BACK_BYTES = 32 * 1024 * 1024
"""When so much has been moved from memory to the database at once, the system is to have that memory."""
HIGH_WATER = 20_000
"""Records of one root that may wait for the disk before its pure firings pause."""

_WRITE = "SELECT journal_write_v3($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
_OVER = frozenset(each.value for each in FINAL)
GIVE_UP = "SELECT executions_give_up_v1($1, $2, $3, $4)"
DATABASE_GONE = (OSError, *DATABASE_AWAY, asyncpg.TransactionRollbackError)
"""It does not answer, or cannot do it now: worth trying again."""
_log = logging.getLogger(__name__)


class Recorded(Protocol):
    """One execution as the journal sees it."""

    id: ExecutionId
    seq: int
    """Sequence number of the last record handed to the journal."""
    pending: list[Record]


class Owner(Protocol):
    """A root as the journal sees it: what is fenced, and told how its writes went."""

    id: ExecutionId
    workspace: WorkspaceId
    epoch: int
    spent: Spent
    deaths: int
    """How many workers in a row have died with it."""

    def moved_on(self) -> None:
        """Something of it got done after that, and is durable."""
        ...

    def lost(self) -> None:
        """Another worker holds the root: nothing that this process does for it counts any more."""
        ...


class Batch:
    """What one root has to write."""

    __slots__ = (
        "before",
        "callbacks",
        "changed",
        "charges",
        "created",
        "folded",
        "reviews",
        "runs",
        "snapshots",
        "spent",
        "spilled",
        "stored",
    )

    def __init__(self) -> None:
        self.runs: dict[Recorded, None] = {}
        self.created: list[dict[str, Any]] = []
        self.changed: dict[ExecutionId, dict[str, Any]] = {}
        self.folded: list[int] = []
        self.reviews: list[dict[str, Any]] = []
        self.charges: list[dict[str, Any]] = []
        self.callbacks: list[Callable[[], None]] = []
        """Called once the batch is durable; not when the lease is lost."""
        self.before: list[Awaitable[None]] = []
        """What must be durable before the records are: large values that they refer to."""
        self.spilled: dict[UUID, dict[int, Kept]] = {}
        """By execution and key, what is kept elsewhere because of the records, and written before them."""
        self.snapshots: list[snapshots.Snapshot] = []
        """To write once the records are durable."""
        self.spent: list[UUID] = []
        """Executions of which nothing needs to be kept elsewhere any more, once the records are durable."""
        self.stored = 0
        """Bytes of those large values."""


class Rows:
    """What one write writes."""

    def __init__(self) -> None:
        self.owners: list[UUID] = []
        self.owner_epochs: list[int] = []
        self.owner_workspaces: list[UUID] = []
        self.created: list[dict[str, Any]] = []
        self.children: list[dict[str, Any]] = []
        self.roots: list[UUID] = []
        self.executions: list[UUID] = []
        self.workspaces: list[UUID] = []
        self.epochs: list[int] = []
        self.seqs: list[int] = []
        self.counts: list[int] = []
        self.bodies: list[bytes] = []
        self.changed: list[dict[str, Any]] = []
        self.folded: list[int] = []
        self.reviews: list[dict[str, Any]] = []
        self.charges: list[dict[str, Any]] = []
        self.moved_on: list[UUID] = []

    def arguments(self, worker: WorkerId, at_once: AtOnce) -> tuple[Any, ...]:
        return (
            worker,
            self.owners,
            self.owner_epochs,
            _json(self.created),
            _json(self.children),
            self.roots,
            self.executions,
            self.workspaces,
            self.epochs,
            self.seqs,
            self.counts,
            self.bodies,
            _json(self.changed),
            self.folded,
            _json(self.reviews),
            _json(self.charges),
            self.moved_on,
            at_once.of_workspace,
            at_once.of_agent,
        )


class Journal:
    """Gathers records and writes them, in the order in which they were given.

    ``on_broken`` is called when the database went away in the middle of a write: whether it was kept is then unknown,
    so every root of this process counts as lost, and is claimed again.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        pool: asyncpg.Pool,
        worker: WorkerId,
        at_once: AtOnce,
        on_broken: Callable[[], None],
    ) -> None:
        self._connection = connection
        self.pool = pool
        """For reading what was written."""
        self.worker = worker
        self._at_once = at_once
        self._on_broken = on_broken
        self._batches: dict[Owner, Batch] = {}
        self._wake = asyncio.Event()
        self._committed: asyncio.Future[None] | None = None
        self._writing = False
        self._durable: deque[tuple[Owner, Batch]] = deque()
        """What is written and not yet told."""
        self._calling = False
        self._failed: deque[tuple[Owner, str]] = deque()
        """Owners that broke when they were told."""
        self._task: asyncio.Task[None] | None = None
        self.commits = 0
        self.on_committed: OnCommitted | None = None
        """Told of each write once it is durable: this is how it is published."""

    def start(self) -> None:
        """Begin to write, until ``close``."""
        self._task = asyncio.get_running_loop().create_task(self._write_for_ever(), name="journal")

    async def close(self) -> None:
        """Write what is left, and stop."""
        await self.flushed()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def abandon(self) -> None:
        """Write nothing more: the lease is gone."""
        self._batches.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def flushed(self) -> None:
        """Wait until everything given so far is written, or lost."""
        while (self._batches or self._writing) and self._task is not None and not self._task.done():
            if self._committed is None:
                self._committed = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._committed, self._task), return_when=asyncio.FIRST_COMPLETED)

    def batch(self, owner: Owner) -> Batch:
        """What ``owner`` will write next; whatever is added to it shares one commit."""
        batch = self._batches.get(owner)
        if batch is None:
            batch = self._batches[owner] = Batch()
            self._wake.set()
        return batch

    def forget(self, owner: Owner) -> None:
        """Drop what ``owner`` has not written: it has lost its lease."""
        self._batches.pop(owner, None)

    def fail(self, owner: Owner, reason: str) -> None:
        """The engine itself failed in a run: end it, whatever it has not written is lost."""
        self._failed.append((owner, reason))
        self._wake.set()

    async def _write_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(0)  # whatever else is ready to run now may still join this commit
            self._wake.clear()
            batches, self._batches = self._batches, {}
            if batches or self._failed:
                self._writing = True
                try:
                    await self._commit(batches)
                except Exception:  # noqa: BLE001 (a process that can write no more must not go on holding its runs)
                    _log.exception("the journal cannot be written")
                    self._on_broken()
                    return
                finally:
                    self._writing = False
                    if self._committed is not None:
                        self._committed.set_result(None)
                        self._committed = None

    async def _commit(self, batches: dict[Owner, Batch]) -> None:
        # Before anything is waited for: what is recorded meanwhile is of the next commit, with all that goes with it.
        rows, broken = _rows(batches)
        for owner, batch in batches.items():
            if (batch.before or batch.spilled) and (reason := await self._prepare(owner, batch)):
                broken[owner] = reason
        writable = _only(rows, {owner.id for owner in batches if owner not in broken}) if broken else rows
        held = await self._write(writable, batches)
        if self.on_committed is not None:
            self.on_committed(rows, held)
        spent: list[UUID] = []
        for owner, batch in batches.items():
            if owner in broken:
                await self._give_up(owner, broken[owner])
            elif owner.id not in held:
                owner.lost()
            else:
                if rows.moved_on and owner.id in rows.moved_on:
                    owner.moved_on()
                if batch.snapshots:
                    await snapshots.save(self._connection, self.worker, owner, batch)
                spent += batch.spent
                self._durable.append((owner, batch))
        if spent:
            await spilled_rows.forget(self._connection, spent)
        if not self._calling:
            self._call_back()
        while self._failed:
            await self._give_up(*self._failed.popleft())

    async def _prepare(self, owner: Owner, batch: Batch) -> str:
        """Write what must be durable before the records are. Why that cannot be, or nothing."""
        if batch.before and (failed := await _first_failure(batch.before)) is not None:
            return f"A large value could not be stored: {failed}"
        for execution in batch.spent:
            batch.spilled.pop(execution, None)
        written = 0
        try:
            for execution, spilled in batch.spilled.items():
                written += await spilled_rows.save(self._connection, owner, execution, spilled)
        except (TypeError, ValueError, RecursionError) as error:
            return f"What waits in front of a node cannot be written: {error}"
        if written >= GIVE_BACK_BYTES:
            give_back()  # the records of all these values are still to be sent, which takes as much again
        return ""

    def _call_back(self) -> None:
        """Tell a part of the owners that they are durable; the rest in the loop's next turn.

        What the first of them record meanwhile is written while the others still run: with many roots at once, the
        database and this process work side by side instead of in turns.
        """
        self._calling = False
        for _ in range(min(CALLS_AT_ONCE, len(self._durable))):
            owner, batch = self._durable.popleft()
            try:
                for callback in batch.callbacks:
                    callback()
            except Exception as error:  # noqa: BLE001 (what breaks one run must not stop the others' journal)
                _log.exception("a run cannot go on", extra={"root": str(owner.id)})
                self.fail(owner, f"The engine failed: {type(error).__name__}.")
        if self._durable:
            self._calling = True
            asyncio.get_running_loop().call_soon(self._call_back)

    async def _write(self, rows: Rows, batches: dict[Owner, Batch]) -> set["UUID"]:
        """The ids of the owners whose rows are durable."""
        if not rows.owners:
            return set()
        try:
            self.commits += 1
            return set(await self._connection.fetchval(_WRITE, *rows.arguments(self.worker, self._at_once)))
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if len(rows.owners) > 1:
                return await self._write_halves(rows, batches)
            owner = next(each for each in batches if each.id == rows.owners[0])
            await self._give_up(owner, f"What the run wanted to record was refused: {error}")
            return set()

    async def _write_halves(self, rows: Rows, batches: dict[Owner, Batch]) -> set["UUID"]:
        """One bad record never fails the runs that share its batch: split until it stands alone."""
        middle = len(rows.owners) // 2
        held: set[UUID] = set()
        for half in (rows.owners[:middle], rows.owners[middle:]):
            held |= await self._write(_only(rows, set(half)), batches)
        return held

    async def _give_up(self, owner: Owner, reason: str) -> None:
        """End a run that cannot be recorded any further: it would fail again wherever it is claimed next."""
        _log.error("a run is given up", extra={"root": str(owner.id), "reason": reason})
        self.forget(owner)
        await self._connection.fetchval(GIVE_UP, self.worker, owner.id, owner.epoch, reason.replace("\0", ""))
        owner.lost()


async def _first_failure(before: list[Awaitable[None]]) -> BaseException | None:
    results = await asyncio.gather(*before, return_exceptions=True)
    return next((each for each in results if each is not None), None)


def _rows(batches: dict[Owner, Batch]) -> tuple[Rows, dict[Owner, str]]:
    """What to write, and the owners whose records have no form in which they could be written."""
    rows = Rows()
    broken: dict[Owner, str] = {}
    for owner, batch in batches.items():
        moves_on = owner.deaths > 0 and _moves_on(batch)
        try:
            for run in batch.runs:
                _add_records(rows, owner, run)
        except (TypeError, ValueError, RecursionError) as error:
            broken[owner] = f"What the run wanted to record cannot be written: {error}"
            continue
        owner.spent.stored_bytes += batch.stored
        rows.owners.append(owner.id)
        rows.owner_epochs.append(owner.epoch)
        rows.owner_workspaces.append(owner.workspace)
        if moves_on:
            rows.moved_on.append(owner.id)
        _add_summaries(rows, batch)
        rows.folded.extend(batch.folded)
        rows.reviews.extend(batch.reviews)
        rows.charges.extend(batch.charges)
    return rows, broken


def _add_summaries(rows: Rows, batch: Batch) -> None:
    changed = dict(batch.changed)
    for row in batch.created:
        if row["parent_id"] is not None:
            rows.children.append(row)
        elif (end := changed.get(row["id"])) is not None and end["status"] in _OVER:
            rows.created.append({**row, **end})  # it begins and ends within this write
            del changed[row["id"]]
        else:
            rows.created.append(row)
    rows.changed.extend(changed.values())


def _moves_on(batch: Batch) -> bool:
    """Whether something gets done: what only begins, or begins again, has got nowhere yet."""
    return any(record[0] not in ("begin", "start") for run in batch.runs for record in run.pending)


def _add_records(rows: Rows, owner: Owner, run: Recorded) -> None:
    pending, run.pending = run.pending, []
    first = run.seq - len(pending) + 1
    for offset in range(0, len(pending), ROWS_OF):
        part = pending[offset : offset + ROWS_OF]
        body = encode_records(part)
        owner.spent.stored_bytes += len(body)
        rows.roots.append(owner.id)
        rows.executions.append(run.id)
        rows.workspaces.append(owner.workspace)
        rows.epochs.append(owner.epoch)
        rows.seqs.append(first + offset)
        rows.counts.append(len(part))
        rows.bodies.append(body)


def _only(rows: Rows, ids: "set[UUID]") -> Rows:
    """The rows of these owners. Rows of others among them would be ignored: only what an owner holds is written."""
    part = Rows()
    for index, root in enumerate(rows.owners):
        if root in ids:
            part.owners.append(root)
            part.owner_epochs.append(rows.owner_epochs[index])
    for name in ("created", "children", "changed", "reviews", "charges"):
        setattr(part, name, [row for row in getattr(rows, name) if row["root_id"] in ids])
    for index, root in enumerate(rows.roots):
        if root in ids:
            for name in ("roots", "executions", "workspaces", "epochs", "seqs", "counts", "bodies"):
                getattr(part, name).append(getattr(rows, name)[index])
    part.folded, part.moved_on = rows.folded, rows.moved_on
    return part


def _json(rows: list[dict[str, Any]]) -> str | None:
    """Rows as the database reads them; without the characters that it refuses: NUL and halves of pairs."""
    if not rows:
        return None
    try:
        text = msgspec.json.encode(rows).decode()
    except UnicodeEncodeError:
        text = msgspec.json.encode(storable(rows)).decode()
    return text if "\\u0000" not in text else msgspec.json.encode(storable(msgspec.json.decode(text))).decode()
