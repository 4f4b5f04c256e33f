"""A worker: claims roots under a lease, keeps them running, and gives them back."""

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from treadle.base.database import connect, create_pool
from treadle.base.ids import ExecutionId, GraphId, WorkerId, WorkspaceId, uuid7
from treadle.engine import inbox
from treadle.engine.bell import QUEUE, PostgresBell, listen
from treadle.engine.company import Company, pauses
from treadle.engine.endings import Ended
from treadle.engine.journal import DATABASE_GONE, Journal, OnCommitted
from treadle.engine.ports import AtOnce, Services
from treadle.engine.recovery import Recovery, go_on
from treadle.engine.root import Root
from treadle.engine.run import Asked, Run
from treadle.engine.store import ExecutionRow, Store, execution_row
from treadle.kernel.plan import Plan
from treadle.kernel.records import FORMAT, Record
from treadle.kernel.states import FINAL, Status

LEASE_SECONDS = 10.0
HEARTBEAT_SECONDS = 2.0
SWEEP_SECONDS = 1.0
CLAIM_AT_ONCE = 200
LEAVE_SECONDS = 2.0
"""How long the attempts that a leaving worker cuts off may take to clean up."""
PAUSE_SECONDS = 0.2
"""Between two attempts to reach a database that has gone."""
ELSEWHERE_SECONDS = 0.1
"""How often an execution that another worker runs is looked at."""

_WRITING = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off"}
"""Of the journal's connection: planning its write anew for every commit would take a third of its time; and a plan that
was made when the tables were empty must be good when they are full."""
_CLAIM = "SELECT * FROM executions_claim_v2($1, $2, $3, $4, $5, $6::smallint)"
_BURY = "SELECT workers_bury_v3($1, $2, $3, $4, $5, $6)"
_LEAVE = "SELECT workers_leave_v1($1)"
_DIED = (
    "{} workers in a row died while they had this run, and nothing of it got done in between. Most likely one of its"
    " steps breaks the process or takes all memory: mend the one that had begun last, or switch its block off"
    " (TREADLE_DISABLED_BLOCKS), and run again from there."
)
_HELD_BACK = "SELECT EXISTS (SELECT FROM executions WHERE status = 'QUEUED' AND parent_id IS NULL)"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A run that this process has begun."""

    id: ExecutionId
    gone: "asyncio.Future[Root]"
    """Done when the worker does not hold it any more."""


class Worker:
    """Runs executions in this process.

    ``capacity`` is how many roots it holds at once; ``at_once`` how many may be at work over all workers: what is above
    that waits in the queue. A run with which ``most_deaths`` workers in a row have died is ended.
    """

    def __init__(
        self,
        dsn: str,
        services: Services,
        *,
        capacity: int = 5_000,
        at_once: AtOnce = AtOnce(),
        most_deaths: int = 6,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._services = services
        self._capacity = capacity
        self._at_once = at_once
        self._most_deaths = most_deaths
        self._company = Company(most_deaths, services.clock.monotonic)
        self._lease_seconds = lease_seconds
        self.roots: dict[ExecutionId, Root] = {}
        self._of_agents: Counter[tuple[WorkspaceId, GraphId]] = Counter()
        """How many of the roots are of each agent."""
        self.on_committed: OnCommitted | None = None
        """Set before ``start``: told of every record once it is durable."""
        self.on_over: Callable[[ExecutionId], None] = lambda id: None
        self._look = asyncio.Event()
        self._folding = False
        self._full = False
        self._held_back = False
        """Something is queued that no worker may take now."""
        self._waiters: dict[ExecutionId, list[asyncio.Future[Root]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._helpers: set[asyncio.Task[Any]] = set()
        self._wake_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._away = False
        """The lease or the database is lost, and not yet there again."""

    # ---- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take a lease and begin to claim."""
        self.pool = await create_pool(self._dsn, min_size=1, max_size=6)
        self.bell = PostgresBell(self.pool)
        self.store = Store(self.pool, self.bell, self._services.blobs)
        await self._enter()
        for loop in (self._beat(), self._sweep(), self._claim_for_ever()):
            self._tasks.append(asyncio.get_running_loop().create_task(loop))

    async def _enter(self) -> None:
        self.id = WorkerId(uuid7())
        self._journal_connection = await connect(self._dsn, server_settings=_WRITING)
        self._listener = await connect(self._dsn)
        await listen(self._listener, self._heard)
        await self._bury_dead_neighbours()
        await self.pool.execute(
            "INSERT INTO workers (id, name, expires_at) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))",
            self.id,
            process_name(),
            self._lease_seconds,
        )
        self.journal = Journal(self._journal_connection, self.pool, self.id, self._at_once, self._broken)
        self.journal.on_committed = self.on_committed
        self.journal.start()
        self.recovery = Recovery(self.pool, self.store, self._services, self.journal)
        self._look.set()

    async def _bury_dead_neighbours(self) -> None:
        """Free what dead workers had. Leases of processes of this machine that are gone need not run out."""
        rows = await self.pool.fetch("SELECT id, name FROM workers")
        dead = [row["id"] for row in rows if not process_lives(row["name"])]
        most = self._most_deaths
        reason = _DIED.format(most)
        freed = await self.pool.fetchval(_BURY, self.id, dead, self._lease_seconds, most, pauses(most), reason)
        if freed:
            _log.warning("runs of workers that are gone are free again", extra={"runs": freed})

    async def close(self) -> None:
        """Give back what runs, and leave. Runs go on in another worker, or when this one starts again."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._helpers, return_exceptions=True)
        attempts = [task for root in self.roots.values() for task in root.attempts()]
        for root in list(self.roots.values()):
            root.abandon()
        if attempts:
            await asyncio.wait(attempts, timeout=LEAVE_SECONDS)
        await self.journal.close()
        if self._wake_timer is not None:
            self._wake_timer.cancel()
        try:
            await self.pool.execute(_LEAVE, self.id)
            self.bell.ring(QUEUE)
            await self.bell.close()
            await asyncio.gather(self._journal_connection.close(), self._listener.close())
        except DATABASE_GONE:
            _log.info("the database was gone before the worker had left")
        self.pool.terminate()

    def _broken(self) -> None:
        """The database went away: everything held is claimed again once it is back."""
        if not self._closing:
            self._help(self._enter_again())

    async def _enter_again(self) -> None:
        if self._away:
            return
        self._away = True
        self.journal.abandon()
        for root in list(self.roots.values()):
            root.lost()
        old = self.id
        while self._away and not self._closing:
            self._journal_connection.terminate()
            self._listener.terminate()
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                await self.pool.execute(_LEAVE, old)
                await self._enter()
                self._away = False
            except DATABASE_GONE:
                _log.warning("the database does not answer yet")

    # ---- work ---------------------------------------------------------------------------------------------------

    async def submit(
        self,
        workspace: WorkspaceId,
        plan: Plan,
        inputs: Mapping[int, Mapping[str, Any]],
        *,
        settings: Mapping[str, Any] | None = None,
        asked: Asked | None = None,
        rerun: tuple[ExecutionId, Sequence[Record]] | None = None,
    ) -> ExecutionId:
        """Create an execution and claim it in one commit, or queue it; it is durable when this returns.

        ``rerun`` names the earlier execution and gives the first records. Returns the id of the earlier execution if
        what was asked for had been asked for before, with the same key.

        Raises:
            AskedDifferently: something else was asked for with that key.
            WorkspaceDeleted: nothing begins there any more.
        """
        begun = await self._begin(workspace, plan, inputs, settings, asked, rerun)
        return begun if isinstance(begun, UUID) else begun.id

    async def run(
        self,
        workspace: WorkspaceId,
        plan: Plan,
        inputs: Mapping[int, Mapping[str, Any]],
        *,
        seconds: float,
        settings: Mapping[str, Any] | None = None,
        asked: Asked | None = None,
    ) -> tuple[ExecutionId, Ended | None]:
        """Create an execution as ``submit`` does, and wait for its end, but no longer than that.

        What it ended with is None when it goes on, or when it does not run in this process: then only the database
        knows. An execution that waits for a person or an event counts as ended.
        """
        begun = await self._begin(workspace, plan, inputs, settings, asked, None)
        if isinstance(begun, UUID):
            return begun, None
        if not begun.gone.done():
            await asyncio.wait((begun.gone,), timeout=seconds)
        return begun.id, begun.gone.result().ended if begun.gone.done() else None

    async def _begin(
        self,
        workspace: WorkspaceId,
        plan: Plan,
        inputs: Mapping[int, Mapping[str, Any]],
        settings: Mapping[str, Any] | None,
        asked: Asked | None,
        rerun: tuple[ExecutionId, Sequence[Record]] | None,
    ) -> "_Begun | ExecutionId":
        """The run that begins here, its first records durable; the id of one that is queued, or was there before."""
        await self.store.save_plan(workspace, plan)
        id = ExecutionId(uuid7())
        enqueue = partial(
            self.store.enqueue,
            *(id, workspace, plan, inputs),
            settings=settings,
            asked=asked,
            rerun=rerun,
        )
        full = len(self.roots) >= self._capacity
        if self._closing or self._away or full or self._is_busy(workspace, plan.graph_id):
            return await enqueue()
        run = Run(id, plan, self._services, settings=dict(settings or {}))
        run.asked = asked
        run.rerun_of = rerun[0] if rerun else None
        root = Root(run, workspace, 1, self._services, self.journal, self._forget)
        self._hold(root)
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[bool] = loop.create_future()
        begun = _Begun(id, loop.create_future())
        self._waiters[id] = [begun.gone]
        root.on_lost = partial(_settle, durable, False)
        root.batch().callbacks.append(partial(_settle, durable, True))
        if rerun:
            root.seed(run, rerun[1])
        else:
            root.create(run, inputs, {})
        if await durable:
            return begun
        # The run is over a limit of runs at once, or the key was used before, or the workspace is gone, or the database
        # went away and may have kept the run or not: all the same here.
        return await enqueue()

    def _is_busy(self, workspace: WorkspaceId, agent: GraphId) -> bool:
        """Whether this worker alone has as many runs of the agent as may be at work."""
        return self._of_agents[workspace, agent] >= self._at_once.of_agent

    def _hold(self, root: Root) -> None:
        self.roots[root.id] = root
        self._of_agents[root.workspace, root.main.plan.graph_id] += 1

    async def finished(self, workspace: WorkspaceId, id: ExecutionId, *, resting: bool = False) -> ExecutionRow:
        """Wait until the execution is over (or, with ``resting``, waits for a person or an event); its summary."""
        while True:
            if id in self.roots:
                await self._let_go(id)
            row = await self.store.execution(workspace, id)
            if row.status in FINAL or (resting and row.status in (Status.WAITING, Status.REVIEW)):
                return row
            if id not in self.roots:
                await asyncio.sleep(ELSEWHERE_SECONDS)

    async def _let_go(self, id: ExecutionId) -> None:
        """Wait until this worker does not hold the root any more."""
        over: asyncio.Future[Root] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(id, []).append(over)
        await over

    def _forget(self, root: Root) -> None:
        if self.roots.get(root.id) is root:
            del self.roots[root.id]
            agent = (root.workspace, root.main.plan.graph_id)
            self._of_agents[agent] -= 1
            if not self._of_agents[agent]:
                del self._of_agents[agent]
        self.on_over(root.id)
        for waiter in self._waiters.pop(root.id, ()):
            if not waiter.done():
                waiter.set_result(root)
        if self._full or self._held_back:
            self._look.set()
        due = root.next_due()
        if due is not None and not self._closing:
            self._wake_in(max(0.0, (due - root.now_ms()) / 1000))

    async def _claim_for_ever(self) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            try:
                while not self._away and await self._claim():
                    pass
            except Exception:  # noqa: BLE001 (the loop of the process)
                # What had been claimed is held by nobody now: it is free again when this worker starts anew.
                _log.exception("cannot claim work")
                await self._enter_again()

    async def _claim(self) -> int:
        room = min(CLAIM_AT_ONCE, self._capacity - len(self.roots))
        self._full = room < CLAIM_AT_ONCE
        if room <= 0:
            return 0
        me, recovery = self.id, self.recovery
        limits = self._at_once
        company = self._company.places(room)
        claimed = await self.pool.fetch(_CLAIM, me, room, limits.of_workspace, limits.of_agent, company, FORMAT)
        if not claimed:
            self._held_back = await self.pool.fetchval(_HELD_BACK)
            return 0
        rows = [execution_row(row) for row in claimed]
        roots = await recovery.roots(rows, self._forget)
        told = await inbox.open_rows(self.pool, self._services.blobs, [row.id for row in rows])
        for root in roots:
            if self.id == me and not self._away and not root.over:
                try:
                    self._take_up(root, told.get(root.id, ()))
                except Exception as error:  # noqa: BLE001 (what breaks one run must not hold up the others)
                    root.lost()
                    await recovery.give_up(root.id, root.epoch, error)
        return len(claimed)

    def _take_up(self, root: Root, told: Iterable[inbox.Told]) -> None:
        self._hold(root)
        if self._company.join(root):
            root.on_moved_on = self._look.set
        root.hold()
        go_on(root)
        inbox.fold(root, told)
        root.enforce()
        root.release()

    # ---- bells and time -----------------------------------------------------------------------------------------

    def _heard(self, topic: str) -> None:
        if topic == QUEUE:
            self._look.set()
        elif not self._folding and self.roots:
            self._folding = True
            self._help(self._fold_inboxes())

    async def _fold_inboxes(self) -> None:
        self._folding = False
        try:
            for id, rows in (await inbox.open_rows(self.pool, self._services.blobs, list(self.roots))).items():
                root = self.roots.get(ExecutionId(id))
                if root is not None:
                    inbox.fold(root, rows)
        except DATABASE_GONE:
            _log.warning("cannot read the inbox: the database does not answer")

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._wake_timer is None or self._wake_timer.cancelled() or self._wake_timer.when() > loop.time() + seconds:
            if self._wake_timer is not None:
                self._wake_timer.cancel()
            self._wake_timer = loop.call_later(seconds + 0.002, self._wake_now)

    def _wake_now(self) -> None:
        self._wake_timer = None
        self._help(self._wake_due())

    async def _wake_due(self) -> None:
        try:
            await self._wake()
        except DATABASE_GONE:
            _log.warning("cannot wake runs: the database does not answer")

    async def _wake(self) -> None:
        if await self.pool.fetchval("SELECT executions_wake_v1()"):
            self._look.set()
            self.bell.ring(QUEUE)
        seconds = await self.pool.fetchval(
            "SELECT extract(epoch FROM min(wake_at) - clock_timestamp())::float8 FROM executions"
            " WHERE status IN ('WAITING', 'REVIEW') AND parent_id IS NULL AND wake_at IS NOT NULL"
        )
        if seconds is not None:
            self._wake_in(max(0.0, seconds))

    async def _sweep(self) -> None:
        """Find again what a lost ring or a dead worker has left behind."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self._bury_dead_neighbours()
                await self._wake()
                await self.pool.execute("SELECT inbox_tidy_v1()")
                self._look.set()
                if self.roots:
                    await self._fold_inboxes()
                self._enforce_budgets()
            except Exception:  # noqa: BLE001 (the loop of the process)
                _log.exception("the sweeper failed")

    def _enforce_budgets(self) -> None:
        for root in list(self.roots.values()):
            root.enforce()

    async def _beat(self) -> None:
        """Renew the lease; whoever lost it gives up what it held, and starts anew."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                renewed = await self.pool.execute(
                    "UPDATE workers SET expires_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1",
                    self.id,
                    self._lease_seconds,
                )
            except Exception:  # noqa: BLE001 (the loop of the process)
                _log.exception("the lease could not be renewed")
                continue
            if renewed == "UPDATE 0" and not self._closing:
                _log.warning("the lease was lost; starting anew")
                await self._enter_again()

    def _help(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)


def _settle(future: "asyncio.Future[bool]", result: bool) -> None:
    if not future.done():
        future.set_result(result)


def process_name() -> str:
    """This process among all machines: host, process id, and when it started (so that a reused id is told apart)."""
    return f"{_place()}:{os.getpid()}:{_started(os.getpid())}"


def process_lives(name: str) -> bool:
    """Whether the process of that name may still run; processes of other machines are given the benefit."""
    place, pid, started = name.rsplit(":", 2)
    if place != _place():
        return True
    return _started(int(pid)) == started


def _place() -> str:
    """Where process ids mean the same: this machine, and on it this container's own numbering of processes."""
    try:
        return f"{socket.gethostname()}/{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123
            state, *fields = stat.read().rpartition(")")[2].split()
            return "gone" if state in "ZX" else fields[18]
    except OSError:
        try:
            os.kill(pid, 0)
        except (OSError, OverflowError):
            return "gone"
        return "unknown"
