"""A root execution with all its descendants while this worker holds it: the shell around their state machines.

Pure, short firings run at once on the loop. Everything else runs in a task; an effect's task is made only when the
whole journal of the root, its own start record included, is durable.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from treadle.base.ids import ExecutionId, WorkspaceId
from treadle.engine import snapshots
from treadle.engine.attempt import Outcome, recorded_usage, restart_refusal, run_attempt, run_inline, would_repeat
from treadle.engine.doors import make_context
from treadle.engine.endings import REACTIONS, Ended, Endings
from treadle.engine.journal import HIGH_WATER, Batch, Journal
from treadle.engine.large import LargeValues
from treadle.engine.ports import Services
from treadle.engine.rows import charge_row, created_row
from treadle.engine.run import NodeSpec, Run
from treadle.engine.secrets import FiringSecrets
from treadle.engine.spill import Spills
from treadle.engine.summary import final_status, fold_summary, plain_json
from treadle.kernel.budget import Spent
from treadle.kernel.firing import Firing, Phase
from treadle.kernel.records import FORMAT, Record, apply
from treadle.kernel.states import Status
from treadle.sdk.block import Work
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError

Inputs = Mapping[int, Mapping[str, Any]]
"""What each starting node is given, by its index in the plan."""
_log = logging.getLogger(__name__)
SLICE_SECONDS = 0.004
"""How long one root may keep the loop before others have their turn."""
LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; a provider that asks for more is tried again after these."""
PARK_AFTER_MS = 1_000
"""A run that can only wait is put to sleep, unless it would wake sooner than this."""


class Root:
    """Drives a tree of runs. ``on_over`` is called once, when nothing of it is left in this worker."""

    def __init__(
        self,
        main: Run,
        workspace: WorkspaceId,
        epoch: int,
        services: Services,
        journal: Journal,
        on_over: "Callable[[Root], None]",
    ) -> None:
        self.id = main.id
        self.main = main
        self.workspace = workspace
        self.epoch = epoch
        self.services = services
        self.deaths = 0
        """How many workers in a row have died while they had it, and nothing of it was done in between."""
        self.on_moved_on: Callable[[], object] = lambda: None
        self.runs: dict[ExecutionId, Run] = {main.id: main}
        self.active = 0
        """Firings that were launched and have not ended."""
        self.awaiting = 0
        """Of those, how many only wait for a sub-agent or a tool."""
        self.secretive = False
        """Whether a run of the tree has secrets: only then values are searched for them."""
        self.folded: set[int] = set()
        """Inbox rows that are folded in, durable or about to be."""
        self.over = False
        self.on_lost: Callable[[], object] = lambda: None
        self.ended: Ended | None = None
        """Set when the worker lets go of it; None when it was lost."""
        self.large = LargeValues(workspace, services.blobs)
        self.endings = Endings(self, journal)
        self.spills = Spills(self, journal)
        self._journal = journal
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._todo: deque[Run] = deque()
        self._draining = False
        self._drain_planned = False
        self._epoch_ms = int(services.clock.now().timestamp() * 1000) - int(services.clock.monotonic() * 1000)
        self.spent = Spent(self.now_ms())
        self.joined(main)

    # ---- records ------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return self._epoch_ms + int(self.services.clock.monotonic() * 1000)

    def batch(self) -> Batch:
        """What this root writes with the next commit."""
        return self._journal.batch(self)

    def durable(self) -> "asyncio.Future[None]":
        """Comes when all that is recorded so far is durable; never, when the lease is lost before that."""
        told: asyncio.Future[None] = self._loop.create_future()
        self.batch().callbacks.append(partial(_settle, told))
        return told

    def record(self, run: Run, record: Record) -> None:
        """Add a record to the run's journal."""
        if self.endings.held and record[0] in REACTIONS:
            self.endings.reacted(run, record[1])
        run.seq += 1
        run.pending.append(record)
        self._journal.batch(self).runs[run] = None

    # ---- start --------------------------------------------------------------------------------------------------

    def create(self, run: Run, inputs: Inputs, details: dict[str, Any]) -> None:
        """A new execution begins: its row and its first record share the next commit."""
        recorded = self._recorded_inputs(inputs)
        self.batch().created.append(created_row(self, run, recorded))
        self._begin(run, inputs, recorded, details)

    def begin(self, run: Run, inputs: Inputs) -> None:
        """An execution that was queued begins."""
        self._begin(run, inputs, self._recorded_inputs(inputs), {})

    def _recorded_inputs(self, inputs: Inputs) -> dict[str, dict[str, Any]]:
        batch = self.batch()
        return {str(node): self.large.recorded(values, batch) for node, values in inputs.items()}

    def _begin(self, run: Run, inputs: Inputs, recorded: dict[str, Any], details: dict[str, Any]) -> None:
        """The run's first record: its starting nodes fire."""
        self.record(run, ("begin", self.now_ms(), recorded, False, {**details, "format": FORMAT}))
        run.machine.begin(inputs)
        self.wake(run)

    def seed(self, run: Run, records: Iterable[Record]) -> None:
        """A re-run begins: its first records are given, and then it goes on by itself."""
        batch = self.batch()
        batch.created.append(created_row(self, run, {}))
        for record in records:
            self.record(run, self.large.recorded_first(record, batch))
            fold_summary(run.summary, run.machine, record)
            apply(run.machine, record)
        self.wake(run)

    def hold(self) -> None:
        """Nothing starts before ``release``."""
        self._drain_planned = True

    def release(self) -> None:
        """What is ready may start."""
        self._drain_again()
        self.rest()

    def joined(self, run: Run) -> None:
        """A run belongs to the tree from now on."""
        self.runs[run.id] = run
        self.spills.mind(run)
        self.secretive = self.secretive or any(spec.secretive for spec in run.specs)

    def _secrets(self) -> FiringSecrets | None:
        return FiringSecrets(self.services.seals, self.workspace) if self.secretive else None

    def adopt(self, child: Run, inputs: Inputs) -> None:
        """A sub-agent begins."""
        assert child.parent is not None
        run, firing, slot = child.parent
        run.children.setdefault(firing, {})[slot] = child
        self.joined(child)
        self.create(child, inputs, {"parent": [str(run.id), firing, slot]})

    def call_tool(self, run: Run, caller: Firing, slot: int, node: int, inputs: dict[str, Any]) -> int:
        """A running firing calls a node as a tool; the number of the tool's firing."""
        self.record(run, ("tool", caller.number, slot, node, self.large.recorded(inputs, self.batch())))
        firing = run.machine.called(caller.number, slot, node, inputs)
        self.wake(run)
        return firing.number

    def note(self, run: Run, firing: Firing, value: Any) -> None:
        """A running firing notes something for its later attempts; durable before anything that it does after."""
        if self.over or run.closed:
            return
        self.record(run, ("note", firing.number, self.large.recorded_value(value, self.batch())))
        run.machine.noted(firing.number, value)

    def await_inside(self, run: Run, firing: int) -> None:
        """A running firing only waits for a sub-agent or a tool from now on."""
        self.endings.awaits(run, firing)
        self.awaiting += 1
        self.services.crowd.step_aside(self.workspace, run.plan.graph_id)
        self._loop.call_soon(self.rest)

    def go_on_inside(self, run: Run, firing: int) -> None:
        """What it waited for has come, or it is cut off."""
        self.endings.goes_on(run, firing)
        self.awaiting -= 1
        self.services.crowd.step_back(self.workspace, run.plan.graph_id)

    def wake(self, run: Run) -> None:
        """Something of the run may be ready: start it now, so that an end and the starts it allows share a commit."""
        if not run.queued and not self.over:
            run.queued = True
            self._todo.append(run)
        if not self._draining and not self._drain_planned:
            self._draining = True
            try:
                self._drain()
            finally:
                self._draining = False

    def _drain_again(self) -> None:
        self._drain_planned = False
        if not self.over and self._todo:
            self.wake(self._todo[0])

    def _drain(self) -> None:
        """Start what is ready: short firings at once, until the slice of time is over or the disk is far behind."""
        clock = self.services.clock.monotonic
        deadline = clock() + SLICE_SECONDS
        while self._todo and not self.over:
            run = self._todo[0]
            ready = run.machine.ready
            steps = 0
            while ready:
                if run.spilling and not self.spills.complete(run, ready[0]):
                    break
                self._start(run, ready.popleft())
                steps += 1
                if not steps & 15 and (clock() > deadline or len(run.pending) > HIGH_WATER):
                    self._resume_drain_later(run)
                    return
            self._todo.popleft()
            run.queued = False
            if not ready:
                self.check(run)

    def _resume_drain_later(self, run: Run) -> None:
        if self.enforce():
            return
        if run.seq >= run.snapshot_due:
            self._snapshot(run)
        self._drain_planned = True
        if len(run.pending) > HIGH_WATER:
            self.batch().callbacks.append(self._drain_again)
        else:
            self._loop.call_soon(self._drain_again)

    def _start(self, run: Run, firing: Firing) -> None:
        if firing.number not in run.machine.firings:
            return
        spent = self.spent
        spent.firings += 1
        if spent.firings > self.services.limits.firings:
            self.enforce()
            return
        spec = run.specs[firing.node]
        if spec.inline and spec.block is not None:
            began = self.services.clock.monotonic()
            context = self._inline_context(run, firing, spec)
            inputs = {**spec.node.constants, **firing.values}
            secrets = self._secrets() if self.secretive else None
            if secrets:
                inputs = secrets.opened(inputs)
            refusal = secrets.problem if secrets else ""
            outcome = Outcome(error=refusal) if refusal else run_inline(spec, spec.block, inputs, context)
            if secrets:
                outcome.hide(secrets)
            self.end(run, firing, outcome, int((self.services.clock.monotonic() - began) * 1e6))
        else:
            self.launch(run, firing, spec)

    def _inline_context(self, run: Run, firing: Firing, spec: NodeSpec) -> Context:
        context = run.inline_context
        if context is None:
            context = run.inline_context = make_context(self, run, firing, spec)
        context.node, context.firing = spec.node.id, firing.number
        return context

    # ---- attempts -----------------------------------------------------------------------------------------------

    def launch(self, run: Run, firing: Firing, spec: NodeSpec) -> None:
        """Begin an attempt in a task of its own; for an effect, once its start is durable."""
        self.active += 1
        refusal = spec.refusal or restart_refusal(spec, firing)
        if refusal:
            self._conclude(run, firing, spec, Outcome(error=refusal), 0)
            return
        inputs = self._inputs_of(run, firing, spec)
        held = 0
        if spec.block is not None and spec.node.work == Work.EFFECT:
            try:
                held = self.services.charges.hold(self.workspace, spec.block, inputs)
            except BlockError as error:
                self._conclude(run, firing, spec, Outcome(error=error.told), 0)
                return
            self._record_start(run, firing, spec, inputs, held)
            self.batch().callbacks.append(partial(self._enter, run, firing, spec, inputs, held))
        else:
            self._enter(run, firing, spec, inputs, held)

    def _inputs_of(self, run: Run, firing: Firing, spec: NodeSpec) -> dict[str, Any]:
        """What the firing's block is given, with the credentials that were chosen for this run."""
        inputs = run.machine.inputs_of(firing)
        chosen = run.settings.get("credentials")
        return {**inputs, **chosen.get(run.plan.graph_id, {}).get(spec.node.id, {})} if chosen else inputs

    def _record_start(self, run: Run, firing: Firing, spec: NodeSpec, inputs: dict[str, Any], held: int) -> None:
        batch = self.batch()
        shown = {pin: "***" if pin in spec.secrets else value for pin, value in inputs.items()}
        recorded = self.large.recorded(shown, batch)
        self.record(run, ("start", firing.number, firing.attempt, self.now_ms(), recorded, firing.node))
        run.machine.started(firing.number, firing.attempt)
        if held:
            batch.charges.append(charge_row(self, run, firing, "hold", held, 0))

    def _enter(self, run: Run, firing: Firing, spec: NodeSpec, inputs: dict[str, Any], held: int) -> None:
        """Run the attempt, when there is room for one more."""
        start = partial(self._begin_attempt, run, firing, spec, inputs, held)
        self.services.crowd.enter(self.workspace, run.plan.graph_id, start)

    def _begin_attempt(self, run: Run, firing: Firing, spec: NodeSpec, inputs: dict[str, Any], held: int) -> bool:
        if self.over or run.closed:
            self._cut_short(run)
            return False
        run.started[firing.number] = self.now_ms()
        task = self._loop.create_task(self._attempt(run, firing, spec, inputs, held))
        task.add_done_callback(partial(self._attempt_done, run, firing.number))
        run.tasks[firing.number] = task
        return True

    def _attempt_done(self, run: Run, firing: int, task: "asyncio.Task[None]") -> None:
        """Make room; a fault of the engine itself ends the run, instead of leaving it hanging."""
        self.services.crowd.leave(self.workspace, run.plan.graph_id)
        if task.cancelled():
            run.tasks.pop(firing, None)
            self._cut_short(run)
        elif (error := task.exception()) is not None and not self.over:
            _log.error("the engine failed in a run", extra={"root": str(self.id)}, exc_info=error)
            self._journal.fail(self, f"The engine failed: {type(error).__name__}.")

    async def _attempt(self, run: Run, firing: Firing, spec: NodeSpec, inputs: dict[str, Any], held: int) -> None:
        began = self.services.clock.monotonic()
        secrets = self._secrets()
        context = make_context(self, run, firing, spec, secrets)
        if secrets:
            inputs = secrets.opened(inputs)
        streams = spec.block is not None and spec.block.streaming
        emit = partial(self._emit, run, firing, secrets) if streams else None
        if secrets and secrets.problem:
            outcome = Outcome(error=secrets.problem)
        else:
            outcome = await run_attempt(spec, inputs, context, self.services, self.workspace, held, emit)
        if secrets:
            outcome.hide(secrets)
        run.tasks.pop(firing.number, None)
        if self.over or run.closed:
            self._cut_short(run)
            return
        if held and outcome.suspended is None:
            settled = outcome.settlement
            self.batch().charges.append(charge_row(self, run, firing, "settle", settled.amount, settled.written_off))
        microseconds = int((self.services.clock.monotonic() - began) * 1e6)
        extra = recorded_usage(context.usage)
        if outcome.settlement.amount:
            extra["cost"] = outcome.settlement.amount
            self.spent.credits += outcome.settlement.amount
        self._conclude(run, firing, spec, outcome, microseconds, extra)

    def _emit(
        self, run: Run, firing: Firing, secrets: FiringSecrets | None, emission: tuple[str, Any]
    ) -> Awaitable[None] | None:
        """A streaming block sent a value: recorded, and on its way. It waits while the disk is far behind."""
        if self.over or run.closed:
            return None
        pin, value = emission if secrets is None else secrets.sealed(emission)
        self.record(run, ("out", firing.number, pin, self.large.recorded_value(value, self.batch()), firing.node))
        run.machine.emitted(firing.number, pin, value)
        run.grown()
        self.wake(run)
        return self.durable() if len(run.pending) > HIGH_WATER else None

    def _cut_short(self, run: Run) -> None:
        """An attempt is over without a result: its run was ended under it."""
        self.active -= 1
        self.endings.forget(run)
        self.rest()

    def _conclude(
        self,
        run: Run,
        firing: Firing,
        spec: NodeSpec,
        outcome: Outcome,
        microseconds: int,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.active -= 1
        if outcome.suspended is not None and would_repeat(spec, firing):
            outcome.suspended = None
            outcome.error = f"It wants to wait after it has sent {firing.emitted} values, and cannot go on from there."
        if outcome.suspended is not None:
            # What it costs is settled when it is over.
            used = {name: value for name, value in (extra or {}).items() if name != "cost"}
            self._suspend(run, firing, spec, outcome, used)
        elif outcome.error and self._may_retry(firing, spec, outcome):
            self._retry(run, firing, spec, outcome, extra or {})
        else:
            self.end(run, firing, outcome, microseconds, extra)
        self.wake(run)

    def _may_retry(self, firing: Firing, spec: NodeSpec, outcome: Outcome) -> bool:
        policy = spec.node.policy.retry
        streamed = firing.emitted > 0 and not (spec.block is not None and spec.block.resumable)
        return firing.attempt < policy.attempts and (outcome.passing or policy.on == "any") and not streamed

    def _retry(self, run: Run, firing: Firing, spec: NodeSpec, outcome: Outcome, used: dict[str, Any]) -> None:
        policy = spec.node.policy.retry
        delay = min(policy.first_delay * 2 ** (firing.attempt - 1), policy.max_delay)
        asked = outcome.retry_after or 0.0
        if asked > delay:  # false for a "not a number"
            delay = min(asked, LONGEST_RETRY_AFTER)
        now = self.now_ms()
        due = now + int(delay * 1000)
        record: Record = ("retry", firing.number, firing.attempt, outcome.error, now, due, firing.node)
        self._record_used(run, firing, record, used)
        run.machine.retrying(firing.number, firing.attempt, due)
        self.set_timer(run, firing)

    def _record_used(self, run: Run, firing: Firing, record: Record, used: dict[str, Any]) -> None:
        """Record that an attempt ended which was not the last, and what it used."""
        self.record(run, (*record, used) if used else record)
        run.summary.used(firing.node, used)

    def _suspend(self, run: Run, firing: Firing, spec: NodeSpec, outcome: Outcome, used: dict[str, Any]) -> None:
        wish = outcome.suspended
        assert wish is not None
        due = int(wish.until.timestamp() * 1000) if wish.until else None
        batch = self.batch()
        recorded = self.large.recorded_payload(wish.payload, batch)
        record: Record = ("wait", firing.number, wish.kind, recorded, self.now_ms(), due, firing.node)
        self._record_used(run, firing, record, used)
        run.machine.suspended(firing.number, wish.kind, wish.payload, due)
        if wish.kind == "review":
            batch.reviews.append(
                {
                    "root_id": self.id,
                    "execution_id": run.id,
                    "workspace_id": self.workspace,
                    "firing": firing.number,
                    "node_id": spec.node.id,
                    "payload": plain_json(recorded),
                }
            )
        else:
            self.set_timer(run, firing)

    def set_timer(self, run: Run, firing: Firing) -> None:
        """Wake the firing when it is due, if this worker still holds it then."""
        if firing.due is None:
            return
        delay = max(0.0, (firing.due - self.now_ms()) / 1000)
        run.timers[firing.number] = self._loop.call_later(delay, self._due, run, firing)

    def _due(self, run: Run, firing: Firing) -> None:
        run.timers.pop(firing.number, None)
        if self.over or firing.number not in run.machine.firings:
            return
        decision = None if firing.phase is Phase.RETRYING else {"approved": True}
        self.resume(run, firing, decision)

    def resume(self, run: Run, firing: Firing, decision: dict[str, Any] | None) -> None:
        """What the firing waited for has come."""
        if firing.phase not in (Phase.RETRYING, Phase.WAITING, Phase.REVIEW):
            return
        recorded = None if decision is None else self.large.recorded(decision, self.batch())
        self.record(run, ("resume", firing.number, recorded, self.now_ms(), firing.node))
        run.machine.resumed(firing.number, decision)
        self.wake(run)

    def end(
        self, run: Run, firing: Firing, outcome: Outcome, microseconds: int, extra: dict[str, Any] | None = None
    ) -> None:
        """A firing is over."""
        if run.children:
            self.endings.end_children(run, firing.number)
        outputs = outcome.outputs
        recorded = self.large.recorded_outputs(outputs, self._journal, self) if outputs else outputs
        record = ("end", firing.number, recorded, outcome.error, self.now_ms(), microseconds, extra or {}, firing.node)
        self.record(run, record)
        run.summary.ended(firing.node, outcome.error, microseconds, extra)
        run.started.pop(firing.number, None)
        run.machine.ended(firing.number, outputs, outcome.error or None)
        if firing.caller is not None:
            waiter = run.tool_waiters.pop(firing.number, None)
            if waiter is not None and not waiter.done():
                self.go_on_inside(run, firing.caller[0])
                waiter.set_result(None)
        if run.listener is not None:
            run.listener()

    # ---- rest and end -------------------------------------------------------------------------------------------

    def check(self, run: Run) -> None:
        """Close the run if it is over; put the root to sleep if nothing of it can go on by itself."""
        if self.over or run.closed:
            return
        if run.machine.finished:
            self.endings.close(run, *final_status(run.machine, run.title))
            if run is self.main:
                self._let_go()
            else:
                self.rest()
        elif not self.enforce():
            if run.seq >= run.snapshot_due:
                self._snapshot(run)
            self.rest()

    def _snapshot(self, run: Run) -> None:
        if run.pending:
            snapshots.take(run, self.large, self.spills, self.batch())

    def enforce(self) -> bool:
        """Stop the root if it has passed one of its budgets; whether it had."""
        passed = self.spent.passed(self.services.limits, self.now_ms())
        if passed and not self.over:
            self.stop(f"The run passed its budget of {passed}.", Status.FAILED)
        return bool(passed)

    def rest(self) -> None:
        """Put the root to sleep if all that is left waits for a time, a person or an event."""
        if self.over or self._todo or self.active > self.awaiting or self.spills.loading:
            return
        blocked = [(run, firing) for run in self.open_runs() for firing in run.machine.blocked_firings()]
        dues = [firing.due for _, firing in blocked if firing.due is not None]
        if not blocked or (dues and min(dues) < self.now_ms() + PARK_AFTER_MS):
            return
        self.endings.rest()
        for run in self.open_runs():
            phases = {firing.phase for each, firing in blocked if each is run or run is self.main}
            if phases:
                status = Status.REVIEW if Phase.REVIEW in phases else Status.WAITING
                self.endings.change(run, status, None, wake_ms=min(dues) if dues and run is self.main else None)
        self._let_go()

    def open_runs(self) -> Iterable[Run]:
        """The runs of the tree that are not over."""
        return [run for run in self.runs.values() if run.closed is None]

    def stop(self, reason: str, status: Status) -> None:
        """End every run of the tree now; running blocks are cancelled."""
        self.endings.all_taken()
        for run in sorted(self.open_runs(), key=lambda each: -each.depth):
            self.endings.cut_off(run, status, reason)
        self._let_go()

    def _let_go(self) -> None:
        """Nothing of this root runs here any more; the worker forgets it once that is durable."""
        self.abandon()
        self.batch().callbacks.append(lambda: self._on_over(self))

    def moved_on(self) -> None:
        """Something of it got done and is durable: if its worker dies now, that is the first time."""
        self.deaths = 0
        self.on_moved_on()

    def lost(self) -> None:
        """The lease is gone: whatever runs here counts for nothing."""
        self.ended = None
        self.abandon()
        self._journal.forget(self)
        self.on_lost()
        self._on_over(self)

    def abandon(self) -> None:
        """The worker leaves: running attempts are cut off, and begin again wherever the root is claimed next."""
        self.over = True
        self.spills.cancel()
        for run in self.runs.values():
            run.cancel()
            run.machine.ready.clear()
            run.inline_context = None  # it refers to this root: without it a run is freed as soon as it is forgotten

    def attempts(self) -> "list[asyncio.Task[None]]":
        """The attempts that run."""
        return [task for run in self.runs.values() for task in run.tasks.values()]

    def next_due(self) -> int | None:
        """When the earliest timer of the tree is due, in milliseconds since 1970."""
        dues = [f.due for run in self.open_runs() for f in run.machine.blocked_firings() if f.due is not None]
        return min(dues, default=None)


def _settle(told: "asyncio.Future[None]") -> None:
    if not told.done():
        told.set_result(None)
