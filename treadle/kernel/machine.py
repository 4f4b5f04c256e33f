"""The state machine of one execution: feed it an event, and it says which firings may start.

Plain synchronous Python: no I/O, no clock, no random numbers. The same fold drives a live run, recovery, the run view
and the tests, so everything here must follow from the plan and the events alone.

Each arrival of a value joins the oldest incomplete set of its sink node that lacks that pin. Because sets are complete
in the order in which they were opened, a node needs no sets at all: one queue for each pin, zipped by position.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from treadle.kernel.dynamic_pins import parse_tool_pin, select
from treadle.kernel.firing import Cause, Firing, Phase
from treadle.kernel.lane import NO_LIMIT, Chunk, Lane, Spilled
from treadle.kernel.plan import Plan, PlanNode, Route

Emission = tuple[str, Any]
FAILURES_KEPT = 100
EVERY_FIRING = range(1, NO_LIMIT)


class NodeState:
    """What waits at a node, and which of its firings are under way."""

    __slots__ = (
        "backlog",
        "fired",
        "gathered",
        "index",
        "inflight",
        "latest",
        "plan",
        "queues",
        "running",
        "single",
    )

    def __init__(self, index: int, plan: PlanNode) -> None:
        self.index = index
        self.plan = plan
        self.single = plan.linked[0] if len(plan.linked) == 1 else None
        """The only linked pin, when there is one: what arrives there is a complete set, and needs no queue."""
        self.queues: dict[str, Lane] = {} if self.single is not None else {pin: Lane() for pin in plan.linked}
        self.latest: dict[str, tuple[Any, Cause]] = {}
        """The latest value of each static pin: it fills sets that lack the pin, and is not consumed."""
        self.inflight: dict[int, Firing] = {}
        """Firings that may have started and whose outputs have not all gone downstream, in order."""
        self.running = 0
        self.backlog: Lane | None = None
        """Complete sets above the node's concurrency; the numbers of their firings are given already."""
        self.gathered: list[tuple[Any, Cause]] = []
        """What a Collect has so far."""
        self.fired = False
        """Whether a Collect has fired."""

    def lanes(self) -> Iterator[Lane]:
        """Everything that waits at the node in lines."""
        yield from self.queues.values()
        if self.backlog is not None:
            yield self.backlog


class Machine:
    """One execution, folded from its events.

    The shell takes startable firings from ``ready``, runs them, and reports what happened through the event methods
    (``started``, ``emitted``, ``noted``, ``ended``, ``retrying``, ``suspended``, ``resumed``, ``stopped``).
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.inputs: Mapping[int, Mapping[str, Any]] = {}
        """The run's inputs: for each node (by index) what it is given at the start."""
        self.nodes = [NodeState(index, node) for index, node in enumerate(plan.nodes)]
        self.firings: dict[int, Firing] = {}
        """Firings that are not over yet and not above their node's concurrency, by number."""
        self.ready: deque[Firing] = deque()
        self.count = 0
        """Firings so far: the number of the latest."""
        self.busy = 0
        """Firings that are ready or running."""
        self.blocked = 0
        """Firings that wait for a retry, a timer, a person or an event."""
        self.failures: list[tuple[int, int, str]] = []
        """(firing, node index, message) of the first failures that no error link took."""
        self.failed = 0
        """How many failures no error link took."""
        self.outputs: list[tuple[str, Any]] = []
        """The execution's outputs: what its output nodes sent, by name."""
        self.stop_reason: str | None = None
        self.approved: set[int] = set()
        """Nodes whose reviews are approved for the rest of this run."""
        self.tool_calls: dict[tuple[int, int], int] = {}
        """(calling firing, slot) -> firing of the tool's node."""
        self.tool_results: dict[int, list[Emission]] = {}
        """Outputs of ended tool firings whose caller still runs."""
        self.live: dict[int, int] = dict.fromkeys(plan.collects, 0)
        """For each Collect, how much that can reach it is live: firings, and Collects that have not fired."""
        self._quiet: list[int] = []
        self.open = True
        """False while firings of an earlier run are taken over: values queue up and nothing fires."""
        self.edits: dict[tuple[int, frozenset[Cause]], Mapping[str, Any]] = {}
        """Re-run: inputs to override, by node and what filled the pins."""
        self.kept_starts: set[int] = set()
        """Re-run: starting nodes whose first firing was taken over."""
        self.outputs_kept = NO_LIMIT
        """How many of the execution's outputs are wanted."""
        self._limit = NO_LIMIT
        self._full: Callable[[Lane, bool], None] = _let_grow
        self._opened: Callable[[Lane, Chunk], None] | None = None
        for collect in plan.collects:
            for later in plan.nodes[collect].feeds:
                self.live[later] += 1

    def bound(
        self, limit: int, full: Callable[[Lane, bool], None], opened: Callable[[Lane, Chunk], None] | None = None
    ) -> None:
        """Keep the lines at the nodes short in memory.

        ``full`` is told of a lane that has more than ``limit`` entries in one piece, and whether its entries are
        complete sets: it replaces some of them by a chunk, or raises the lane's limit. ``opened`` is told of a chunk
        whose entries will be let go next.
        """
        self._limit, self._full, self._opened = limit, full, opened
        for state in self.nodes:
            if state.queues or state.backlog is not None:
                for lane in state.lanes():
                    lane.limit, lane.opened = self._limit_of(state), opened

    # ---- events -----------------------------------------------------------------------------------------------

    def begin(self, inputs: Mapping[int, Mapping[str, Any]], *, keeping: bool = False) -> None:
        """The run starts: every starting node fires once, with its share of the run's inputs.

        With ``keeping``, nothing fires until ``opened``: firings of an earlier run are taken over first.
        """
        self.inputs = inputs
        if keeping:
            self.open = False
        else:
            self.opened({})

    def opened(self, edits: Mapping[tuple[int, frozenset[Cause]], Mapping[str, Any]]) -> None:
        """Whatever can fire, fires. ``edits`` overrides inputs of firings, by node and causes (re-run)."""
        kept, self.open = not self.open, True
        self.edits.update(edits)
        for node in self.plan.starts:
            if node not in self.kept_starts:
                self._fire(self.nodes[node], node, dict(self.inputs.get(node, {})), ())
        if kept:
            self._take_all_sets()
        self._quiet.extend(collect for collect, live in self.live.items() if live == 0)
        self._settle()

    def started(self, number: int, attempt: int) -> None:
        """An attempt of a firing has begun, and its start is recorded."""
        firing = self.firings[number]
        firing.attempt = attempt
        firing.begun = True

    def emitted(self, number: int, pin: str, value: Any) -> None:
        """A streaming firing sent a value. It goes downstream at once if no earlier firing of the node is open."""
        firing = self.firings[number]
        firing.emitted += 1
        state = self.nodes[firing.node]
        if firing.caller is not None:
            self._hold(firing, pin, value)
            return
        if not state.plan.policy.ordered or next(iter(state.inflight)) == number:
            self._deliver(state.plan, firing, [(pin, value)])
        else:
            self._hold(firing, pin, value)
        self._settle()

    def noted(self, number: int, value: Any) -> None:
        """A firing noted something for its later attempts; it is forgotten when the firing is over."""
        firing = self.firings[number]
        firing.notes = [*firing.notes, value]

    def ended(self, number: int, outputs: Sequence[Emission], error: str | None) -> None:
        """A firing is over: these are the outputs that it has not sent yet, and why it failed, if it did."""
        firing = self.firings[number]
        state = self.nodes[firing.node]
        firing.phase = Phase.ENDED
        firing.notes = ()
        self.busy -= 1
        plan = state.plan
        if error is not None and plan.policy.on_error == "fallback":
            outputs, error = list(plan.policy.fallback), None
        if firing.caller is not None:
            self._end_tool(firing, outputs, error)
            return
        if error is not None and plan.handles_errors:
            outputs, error = [*outputs, ("error", error)], None
        if error is not None:
            self.failed += 1
            if len(self.failures) < FAILURES_KEPT:
                self.failures.append((number, firing.node, error))
        if outputs:
            firing.held = [*firing.held, *outputs] if firing.held else outputs
        self._free_slot(state)
        self._release(state, firing)
        if self._quiet:
            self._settle()

    def retrying(self, number: int, attempt: int, due: int) -> None:
        """An attempt failed; the firing will be tried again when its timer comes."""
        self._block(number, Phase.RETRYING)
        self.firings[number].attempt = attempt + 1
        self.firings[number].due = due

    def suspended(self, number: int, kind: str, payload: Any, due: int | None) -> None:
        """The firing waits for a person (``review``), a time (``timer``) or an event; it keeps its place."""
        self._block(number, Phase.REVIEW if kind == "review" else Phase.WAITING)
        self.firings[number].payload = payload
        self.firings[number].due = due

    def resumed(self, number: int, decision: Any) -> None:
        """What the firing waited for has come: it starts again. ``decision`` is None for a retry."""
        firing = self.firings[number]
        if decision is not None:
            firing.decision = decision
            if decision.get("always") and decision.get("approved", True):
                self.approved.add(firing.node)
        firing.phase = Phase.READY
        firing.begun = False
        self.blocked -= 1
        self.busy += 1
        self.ready.append(firing)

    def called(self, caller: int, slot: int, node: int, inputs: Mapping[str, Any]) -> Firing:
        """A running firing calls a tool: the tool's node fires with these inputs, and its outputs go to the caller."""
        state = self.nodes[node]
        filled = {pin: value for pin, (value, _) in state.latest.items()}
        firing = self._new(node, {**filled, **inputs}, ())
        firing.caller = (caller, slot)
        self.tool_calls[caller, slot] = firing.number
        self.busy += 1
        self.ready.append(firing)
        return firing

    def kept(self, node: int, causes: Sequence[Cause], outputs: Sequence[Emission], error: str | None) -> int:
        """A firing of an earlier run is taken over as it was: it consumes its causes and sends its outputs again.

        Returns its number in this run.
        """
        state = self.nodes[node]
        firing = self._new(node, self._withdraw(state, causes), tuple(causes))
        state.inflight[firing.number] = firing
        state.running += 1
        self.busy += 1
        self._alive(state, +1)
        if not causes and node in self.plan.starts:
            self.kept_starts.add(node)
        if state.plan.collects:
            state.fired = True
            self._alive(state, -1)
        self.ended(firing.number, outputs, error)
        return firing.number

    def stopped(self, reason: str) -> None:
        """The run is stopped: nothing starts any more, and what runs is cancelled by the shell."""
        self.stop_reason = reason
        self.ready.clear()
        for state in self.nodes:
            state.backlog = None
            state.inflight.clear()
        self.firings.clear()
        self.tool_calls.clear()
        self.tool_results.clear()
        self.busy = self.blocked = 0

    # ---- questions --------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Nothing runs, waits or can fire."""
        return self.busy == 0 and self.blocked == 0

    def startable(self) -> deque[Firing]:
        """After a replay: the firings that are ready or had been started, in order; those over a node's cap are not."""
        return deque(firing for firing in self.firings.values() if firing.phase is Phase.READY)

    def blocked_firings(self) -> Iterator[Firing]:
        """The firings that wait for something outside."""
        return (each for each in self.firings.values() if each.phase in (Phase.REVIEW, Phase.WAITING, Phase.RETRYING))

    def open_firings(self, window: range = EVERY_FIRING) -> Iterator[Firing]:
        """Every firing in the window that is not over, those over a node's cap included.

        Not to be asked of a machine that keeps lines elsewhere: it does not know what is in them.
        """
        yield from (firing for number, firing in self.firings.items() if number in window)
        for state in self.nodes:
            if state.backlog is not None:
                for number, values, causes in state.backlog.head:
                    if number in window:
                        yield Firing(number, state.index, values, causes)

    def leftovers(self) -> Iterator[tuple[int, list[str], int]]:
        """(node index, pins it waits for, values left over) of each node with a set that never became complete.

        Sets that hold only static values, or what a node sent back to itself, do not count.
        """
        for index, state in enumerate(self.nodes):
            left = {pin: len(lane) for pin, lane in state.queues.items() if lane.head}
            if not left:
                continue
            waiting = [pin for pin in state.queues if pin not in left and pin not in state.latest]
            passing = {*state.plan.static, *state.plan.loop}
            sets = max((count for pin, count in left.items() if pin not in passing), default=0)
            if sets:
                yield index, waiting, sum(min(count, sets) for count in left.values())

    def inputs_of(self, firing: Firing) -> dict[str, Any]:
        """What the firing's block is given: the node's constants, overridden by what arrived."""
        return {**self.plan.nodes[firing.node].constants, **firing.values}

    # ---- arrivals ---------------------------------------------------------------------------------------------

    def _deliver(self, plan: PlanNode, firing: Firing, outputs: Sequence[Emission]) -> None:
        number, sent = firing.number, firing.sent
        for position, (pin, value) in enumerate(outputs, sent):
            routes = plan.routes.get(pin)
            if routes is not None:
                cause = (number, position)
                for route in routes:
                    if route.source_name == pin:
                        self._arrive(route, value, cause)
                    else:
                        fires, part = select(pin, value, route.source_name)
                        if fires:
                            self._arrive(route, part, cause)
            elif plan.tools and (target := parse_tool_pin(pin)) is not None:
                for route in plan.tools.get(target[0], ()):
                    if route.pin == target[1]:
                        self._arrive(route, value, (number, position))
            if pin == "output" and plan.kind == "Output" and len(self.outputs) < self.outputs_kept:
                self.outputs.append((str(self.inputs_of(firing).get("name", "")), value))
        firing.sent = sent + len(outputs)

    def _arrive(self, route: Route, value: Any, cause: Cause) -> None:
        state = self.nodes[route.sink]
        if state.plan.collects:
            state.gathered.append((value, cause))
            return
        if route.static:
            state.latest[route.pin] = (value, cause)
        if state.single is not None and self.open:
            self._fire(state, route.sink, {route.pin: value}, (cause,))
            return
        lane = state.queues.get(route.pin)
        if lane is None:
            lane = state.queues[route.pin] = self._new_lane(state)
        lane.last.append((value, cause))
        while self.open and (found := self._take_set(state)) is not None:
            self._fire(state, route.sink, *found)
        if len(lane.last) > lane.limit and self.open and not self.edits:
            self._full(lane, False)

    def _take_set(self, state: NodeState) -> tuple[dict[str, Any], tuple[Cause, ...]] | None:
        """Take the oldest set if it is complete: the head of every queue, or a static pin's latest value."""
        chosen: dict[str, tuple[Any, Cause]] = {}
        fresh = False
        absent = 0
        for pin, lane in state.queues.items():
            if lane.head:
                chosen[pin] = lane.head[0]
                fresh = True
            elif pin in state.plan.loop:
                absent += 1
            elif pin in state.latest:
                chosen[pin] = state.latest[pin]
            else:
                return None
        if not fresh or absent not in (0, len(state.plan.loop)):
            return None
        for lane in state.queues.values():
            if lane.head:
                lane.pop()
        return {pin: value for pin, (value, _) in chosen.items()}, tuple(cause for _, cause in chosen.values())

    def _new_lane(self, state: NodeState) -> Lane:
        return Lane(self._limit_of(state), self._opened)

    def _limit_of(self, state: NodeState) -> int:
        # A replay needs the names under which an agent's outputs are sent, and has no values of what is elsewhere.
        named_by_link = state.plan.kind == "Output" and "name" in state.plan.linked
        return NO_LIMIT if named_by_link else self._limit

    def _take_all_sets(self) -> None:
        for node, state in enumerate(self.nodes):
            while (found := self._take_set(state)) is not None:
                self._fire(state, node, *found)

    # ---- firings ----------------------------------------------------------------------------------------------

    def _new(self, node: int, values: dict[str, Any], causes: tuple[Cause, ...]) -> Firing:
        self.count += 1
        firing = Firing(self.count, node, values, causes)
        self.firings[self.count] = firing
        return firing

    def _fire(self, state: NodeState, node: int, values: dict[str, Any], causes: tuple[Cause, ...]) -> None:
        if self.edits:
            values = {**values, **self.edits.pop((node, frozenset(causes)), {})}
        if state.plan.feeds:
            self._alive(state, +1)
        self.busy += 1
        if state.running < state.plan.policy.concurrency:
            firing = self._new(node, values, causes)
            state.inflight[firing.number] = firing
            state.running += 1
            self.ready.append(firing)
            return
        self.count += 1
        lane = state.backlog
        if lane is None:
            lane = state.backlog = self._new_lane(state)
        lane.last.append((self.count, values, causes))
        if len(lane.last) > lane.limit:
            self._full(lane, True)

    def _free_slot(self, state: NodeState) -> None:
        lane = state.backlog
        if lane is None or not lane.head:
            state.running -= 1
            return
        number, values, causes = lane.pop()
        if type(values) is Spilled:
            firing = Firing(number, state.index, {}, causes)
            firing.elsewhere = values
        else:
            firing = Firing(number, state.index, values, causes)
        self.firings[number] = state.inflight[number] = firing
        self.ready.append(firing)

    def _release(self, state: NodeState, firing: Firing) -> None:
        """Send on what may go: in the order of the firings, unless the node gave that up."""
        if not state.plan.policy.ordered:
            self._retire(state, firing)
            return
        inflight = state.inflight
        if next(iter(inflight)) != firing.number:
            return
        while True:
            self._retire(state, firing)
            if not inflight:
                return
            firing = next(iter(inflight.values()))
            if firing.phase is not Phase.ENDED:
                self._send_held(state, firing)
                return

    def _retire(self, state: NodeState, firing: Firing) -> None:
        self._send_held(state, firing)
        number = firing.number
        del state.inflight[number]
        del self.firings[number]
        if self.tool_calls:
            self._forget_tools(number)
        if state.plan.feeds:
            self._alive(state, -1)

    def _hold(self, firing: Firing, pin: str, value: Any) -> None:
        if not isinstance(firing.held, list):
            firing.held = list(firing.held)
        firing.held.append((pin, value))

    def _send_held(self, state: NodeState, firing: Firing) -> None:
        if firing.held:
            held, firing.held = firing.held, ()
            self._deliver(state.plan, firing, held)

    def _block(self, number: int, phase: Phase) -> None:
        self.firings[number].phase = phase
        self.busy -= 1
        self.blocked += 1

    # ---- tools ------------------------------------------------------------------------------------------------

    def _end_tool(self, firing: Firing, outputs: Sequence[Emission], error: str | None) -> None:
        sent = [*firing.held, *outputs]
        if firing.caller in self.tool_calls:
            self.tool_results[firing.number] = sent if error is None else [*sent, ("error", error)]
        del self.firings[firing.number]
        self._forget_tools(firing.number)

    def _forget_tools(self, caller: int) -> None:
        for key in [key for key in self.tool_calls if key[0] == caller]:
            self.tool_results.pop(self.tool_calls.pop(key), None)

    # ---- Collect ----------------------------------------------------------------------------------------------

    def _alive(self, state: NodeState, change: int) -> None:
        for collect in state.plan.feeds:
            self.live[collect] += change
            if self.live[collect] == 0:
                self._quiet.append(collect)

    def _settle(self) -> None:
        """Fire each Collect that nothing live can reach any more."""
        while self._quiet and self.open:
            collect = self._quiet.pop(0)
            state = self.nodes[collect]
            if state.fired or self.live[collect]:
                continue
            state.fired = True
            gathered, state.gathered = state.gathered, []
            pin = state.single or (state.plan.linked[0] if state.plan.linked else "item")
            causes = tuple(cause for _, cause in gathered)
            self._fire(state, collect, {pin: [value for value, _ in gathered]}, causes)
            self._alive(state, -1)

    # ---- re-run -----------------------------------------------------------------------------------------------

    def _withdraw(self, state: NodeState, causes: Sequence[Cause]) -> dict[str, Any]:
        """Take the values with these causes out of what waits at the node, wherever they stand."""
        wanted = set(causes)
        if state.plan.collects:
            state.gathered = [item for item in state.gathered if item[1] not in wanted]
            return {}
        values: dict[str, Any] = {}
        for pin, lane in state.queues.items():
            found = next((item for item in lane.head if item[1] in wanted), None)
            if found is not None:
                lane.head.remove(found)
                values[pin] = found[0]
            elif pin in state.latest:
                values[pin] = state.latest[pin][0]
        return values


def _let_grow(lane: Lane, sets: bool) -> None:
    """Nobody keeps anything elsewhere."""
