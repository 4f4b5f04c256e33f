"""Runs plans with scripted nodes and without a loop: whoever uses it decides which firing ends next.

Everything that happens goes through a record, so a driver's ``records`` are a journal.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from treadle.base.ids import BlockId, GraphId, NodeId
from treadle.kernel.firing import Cause, Firing
from treadle.kernel.graph import Graph, Link, Node, NodePolicy
from treadle.kernel.lane import Chunk, Entry, Lane, pack_set, pack_value, put_back, unpack_set, unpack_value, wanted
from treadle.kernel.machine import Machine
from treadle.kernel.plan import BlockFacts, Plan, compile_plan
from treadle.kernel.records import Record, apply, decode_records, encode_records
from treadle.kernel.snapshot import dump, restore

Emission = tuple[str, Any]
Function = Callable[[dict[str, Any]], Iterable[Emission]]
Choose = Callable[[Sequence[int]], int]
"""From the numbers of the running firings to the one that ends next."""


class Failure(Exception):
    """Raised by a scripted node to fail its firing."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A node of a scripted graph."""

    kind: str = "Standard"
    work: str = "pure"
    static: bool = False
    loop: tuple[str, ...] = ()
    constants: Mapping[str, Any] | None = None
    policy: NodePolicy = field(default_factory=NodePolicy)


@dataclass(frozen=True, slots=True)
class Fired:
    """A firing as a test compares it."""

    number: int
    node: str
    inputs: dict[str, Any]
    causes: tuple[Cause, ...]


class Counts:
    """The part of a snapshot that is not the machine's."""

    def __init__(self) -> None:
        self.nodes: list[list[int]] = []
        self.cost = 0
        self.tokens = 0


def plan_of(links: str, **specs: Spec) -> Plan:
    """A plan from words like ``"a.out b.in"``, one link a line; nodes that are not described are plain ones."""
    parsed = [tuple(end.split(".", 1) for end in line.split()) for line in links.strip().splitlines()]
    names = list(dict.fromkeys([*specs, *(node for ends in parsed for node, _ in ends)]))
    described = {name: specs.get(name, Spec()) for name in names}
    nodes = tuple(
        Node(NodeId(name), BlockId(name), dict(spec.constants or {}), spec.policy) for name, spec in described.items()
    )
    pairs = tuple(Link(NodeId(a[0]), a[1], NodeId(b[0]), b[1]) for a, b in parsed)

    def facts(block: BlockId) -> BlockFacts:
        spec = described[block]
        return BlockFacts(1, spec.work, spec.kind, spec.static, spec.loop)

    return compile_plan(Graph(GraphId("g"), 1, nodes, pairs, "scripted"), facts)


def send(*emissions: Emission) -> Function:
    """A node that always sends the same."""
    return lambda inputs: emissions


def relay(pin: str = "in", out: str = "out") -> Function:
    """A node that sends on what it gets."""
    return lambda inputs: [(out, inputs[pin])]


def fail(message: str, *before: Emission) -> Function:
    """A node that sends something, then fails."""

    def run(inputs: dict[str, Any]) -> Iterable[Emission]:
        yield from before
        raise Failure(message)

    return run


class Elsewhere:
    """Keeps what waits above ``limit`` entries as bytes: as much of it as ``choose`` says, given how much there is."""

    def __init__(self, limit: int, choose: Callable[[int], int] = lambda most: most - 1) -> None:
        self.limit, self.choose = limit, choose
        self.kept: dict[int, tuple[bool, bytes]] = {}
        self.opened: list[int] = []

    def mind(self, machine: Machine) -> None:
        """Keep the machine's lanes short."""
        machine.bound(self.limit, self._full, lambda lane, chunk: self.opened.append(chunk.key))

    def bring(self, firing: Firing) -> None:
        """Give the firing all that it is to start with."""
        while keys := wanted(firing):
            put_back(firing, {key: self._entries(key) for key in keys})

    def _full(self, lane: Lane, sets: bool) -> None:
        entries = lane.movable(1 + self.choose(len(lane.last)))
        if entries:
            key = len(self.kept)
            self.kept[key] = sets, encode_records(list(map(pack_set if sets else pack_value, entries)))
            lane.move(Chunk(key, len(entries), [entry[0] for entry in entries] if sets else None))

    def _entries(self, key: int) -> list[Entry]:
        sets, body = self.kept[key]
        return list(map(unpack_set if sets else unpack_value, decode_records(body)))


class Driver:
    """One execution, held in the hand."""

    def __init__(
        self, plan: Plan, functions: Mapping[str, Function] | None = None, elsewhere: Elsewhere | None = None
    ) -> None:
        self.plan = plan
        self.machine = Machine(plan)
        self.elsewhere = elsewhere
        if elsewhere is not None:
            elsewhere.mind(self.machine)
        self.records: list[Record] = []
        self.running: dict[int, Firing] = {}
        self.fired: dict[int, Fired] = {}
        self._functions = functions or {}

    # ---- events -----------------------------------------------------------------------------------------------

    def feed(self, *record: Any) -> None:
        """One record, as the engine would write and fold it."""
        self.records.append(record)
        apply(self.machine, record)
        self._take_ready()

    def begin(self, **inputs: Mapping[str, Any]) -> "Driver":
        """The run starts; inputs by node."""
        by_index = {str(self.plan.index(NodeId(node))): dict(values) for node, values in inputs.items()}
        self.feed("begin", 0, by_index, False, {})
        return self

    def send(self, which: int | str, pin: str, value: Any) -> None:
        """A streaming firing sends a value."""
        self.feed("out", self.number(which), pin, value)

    def end(self, which: int | str, *outputs: Emission, error: str = "") -> None:
        """A firing ends; by its number, or the oldest running one of a node."""
        number = self.number(which)
        del self.running[number]
        self.feed("end", number, list(outputs), error, 0, 0)

    def finish(self, which: int | str) -> None:
        """A firing runs its node's function and ends."""
        number = self.number(which)
        outputs, error = self.outcome(self.running[number])
        self.end(number, *outputs, error=error)

    def retry(self, which: int | str, error: str = "busy") -> int:
        """The attempt failed, and waits to be repeated."""
        number = self.number(which)
        firing = self.running.pop(number)
        self.feed("retry", number, firing.attempt, error, 0, 5)
        return number

    def suspend(self, which: int | str, kind: str = "review", payload: Any = None) -> int:
        """The firing waits for a person or a time."""
        number = self.number(which)
        del self.running[number]
        self.feed("wait", number, kind, payload, 0, None if kind == "review" else 5)
        return number

    def resume(self, number: int, decision: Any = None) -> None:
        """What the firing waited for has come; without a decision a retry is due."""
        self.feed("resume", number, decision, 0)

    def call(self, caller: int | str, slot: int, node: str, **inputs: Any) -> int:
        """A running firing calls a node as a tool; the number of the tool's firing."""
        self.feed("tool", self.number(caller), slot, self.plan.index(NodeId(node)), inputs)
        return self.machine.count

    def run(self, choose: Choose = min) -> "Driver":
        """End everything that runs, one by one, until nothing does."""
        while self.running:
            self.finish(choose(list(self.running)))
        return self

    # ---- what came of it --------------------------------------------------------------------------------------

    def number(self, which: int | str) -> int:
        """The firing's number; of a node's running firings the oldest."""
        if isinstance(which, int):
            return which
        return min(number for number, firing in self.running.items() if self.plan.nodes[firing.node].id == which)

    def outcome(self, firing: Firing) -> tuple[list[Emission], str]:
        """What the node's function does with the firing's inputs."""
        outputs: list[Emission] = []
        try:
            for each in self._functions.get(self.plan.nodes[firing.node].id, send())(self.machine.inputs_of(firing)):
                outputs.append(each)
        except Failure as failure:
            return outputs, str(failure)
        return outputs, ""

    def of(self, node: str) -> list[dict[str, Any]]:
        """The inputs of a node's firings that could start, in the order of their numbers."""
        return [each.inputs for _, each in sorted(self.fired.items()) if each.node == node]

    @property
    def trace(self) -> list[tuple[str, dict[str, Any]]]:
        """Node and inputs of all firings that could start, in the order of their numbers."""
        return [(each.node, each.inputs) for _, each in sorted(self.fired.items())]

    @property
    def leftovers(self) -> list[tuple[str, list[str], int]]:
        """(node, pins it waits for, values left over) at the end."""
        return [(self.plan.nodes[node].id, pins, left) for node, pins, left in self.machine.leftovers()]

    def _take_ready(self) -> None:
        ready = self.machine.ready
        while ready:
            firing = ready.popleft()
            if firing.number not in self.machine.firings:
                continue
            if self.elsewhere is not None:
                self.elsewhere.bring(firing)
            self.running[firing.number] = firing
            if firing.number not in self.fired:
                node = self.plan.nodes[firing.node].id
                self.fired[firing.number] = Fired(firing.number, node, self.machine.inputs_of(firing), firing.causes)
        for number in [each for each in self.running if each not in self.machine.firings]:
            del self.running[number]


def state(machine: Machine) -> bytes:
    """A machine's whole state as bytes, to compare."""
    return encode_records([("", dump(machine, Counts()))])


def replayed(plan: Plan, records: Sequence[Record]) -> Machine:
    """A machine folded from records that went to the disk and back."""
    machine = Machine(plan)
    for record in decode_records(encode_records(list(records))):
        apply(machine, record)
    return machine


def reloaded(machine: Machine) -> Machine:
    """A machine that went to the disk and back as a snapshot."""
    fresh = Machine(machine.plan)
    restore(fresh, Counts(), decode_records(state(machine))[0][1])
    return fresh
