"""Random graphs in random interleavings: what must hold whatever happens in which order."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernel.driver import Driver, Elsewhere, Failure, Function, Spec, plan_of, reloaded, replayed, state
from treadle.kernel.firing import Firing
from treadle.kernel.graph import NodePolicy
from treadle.kernel.lane import Lane
from treadle.kernel.machine import Machine
from treadle.kernel.plan import Plan
from treadle.kernel.records import Record, apply, decode_records, encode_records

HOPS = 4
"""How far a value travels: what bounds the cycles."""
FIRINGS = 60
"""After so many a run in which links merge sends nothing new."""
OUTS = ("x", "y")
INS = ("a", "b")


# ---- random graphs ------------------------------------------------------------------------------------------


def travel(node: str) -> Function:
    """Sends its inputs on, one step further; what it sends follows from what it gets and nothing else."""

    def run(inputs: dict[str, Any]) -> Iterable[tuple[str, Any]]:
        hops = max((_hops(value) for value in inputs.values()), default=0)
        label = crc32(f"{node} {sorted(inputs.items())}".encode()) % 1000
        for copy in range(0 if hops >= HOPS else 1 + label % 2 if inputs else 3):
            yield "x", [hops + 1, f"{label}.{copy}"]
            if label % 5 == 3:
                yield "y", [hops + 1, f"{label}.{copy}'"]
        if label % 5 == 4:
            raise Failure(node)

    return run


def _hops(value: Any) -> int:
    """Of a value, a Collect's list of values, or a failure's message (after which nothing goes on)."""
    if isinstance(value, str):
        return HOPS
    return int(value[0]) if value and isinstance(value[0], int) else max(map(_hops, value), default=0)


@st.composite
def graphs(draw: st.DrawFn, *, merging: bool = True) -> tuple[str, dict[str, Spec]]:
    """Links and nodes. Without ``merging`` each pin has one link, forward, from an ordered node that is not static:
    then what a node gets follows from the graph alone."""
    count = draw(st.integers(2, 5))
    names = [f"n{each}" for each in range(count)]
    specs = {name: _spec(draw, merging) for name in names}
    lines: list[str] = []
    taken = set()
    for _ in range(draw(st.integers(1, 7))):
        source, sink = draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))
        back = source >= sink
        if back and (not merging or any(specs[each].kind == "Collect" for each in names)):
            continue
        pin = "a" if specs[names[sink]].kind == "Collect" else draw(st.sampled_from(INS))
        if not merging and (sink, pin) in taken:
            continue
        taken.add((sink, pin))
        out = draw(st.sampled_from((*OUTS, "x", "x", "error") if merging else OUTS))
        lines.append(f"{names[source]}.{out} {names[sink]}.{pin}")
    return "\n".join(lines), specs


def _spec(draw: st.DrawFn, merging: bool) -> Spec:
    kind = draw(st.sampled_from(["Standard", "Standard", "Standard", "Collect"]))
    policy = NodePolicy(
        concurrency=draw(st.sampled_from([1, 2, 100])), ordered=draw(st.booleans()) if merging else True
    )
    return Spec(kind=kind, static=merging and draw(st.integers(0, 4)) == 0, policy=policy)


# ---- random interleavings -----------------------------------------------------------------------------------


class Wanderer:
    """Drives a run by random choices: ends, streams, retries, suspensions."""

    def __init__(
        self, graph: tuple[str, dict[str, Spec]], choose: Callable[[int], int], elsewhere: Elsewhere | None = None
    ) -> None:
        plan = plan_of(graph[0], **graph[1])
        self.driver = Driver(plan, {node.id: travel(node.id) for node in plan.nodes}, elsewhere)
        self._choose = choose
        self._asleep: list[tuple[int, Any]] = []
        self._sent: dict[int, int] = {}
        self._planned: dict[int, tuple[list[tuple[str, Any]], str]] = {}
        self.unhandled = 0
        self.outcomes: dict[int, list[tuple[str, Any]]] = {}
        """What each firing that ended has sent, failures along a link included."""

    def run(self) -> "Wanderer":
        self.driver.begin()
        while self.driver.running or self._asleep:
            assert not self.driver.machine.finished
            self._step()
        assert self.driver.machine.finished
        return self

    def _step(self) -> None:
        running = sorted(self.driver.running)
        place = self._choose(len(running) + len(self._asleep))
        if place >= len(running):
            self.driver.resume(*self._asleep.pop(place - len(running)))
            return
        number = running[place]
        action = self._choose(8)
        if action == 7 and number not in self._sent:
            self._asleep.append((self.driver.retry(number), None))
        elif action == 6:
            self._asleep.append((self.driver.suspend(number), {"approved": True}))
        elif action in (4, 5) and self._send_one(number):
            pass
        else:
            self._end(number)

    def _send_one(self, number: int) -> bool:
        outputs, _ = self._outcome(number)
        sent = self._sent.get(number, 0)
        if sent < len(outputs):
            self._sent[number] = sent + 1
            self.driver.send(number, *outputs[sent])
        return sent < len(outputs)

    def _outcome(self, number: int) -> tuple[list[tuple[str, Any]], str]:
        if number not in self._planned:
            silent = self.driver.machine.count > FIRINGS
            self._planned[number] = ([], "") if silent else self.driver.outcome(self.driver.running[number])
        return self._planned[number]

    def _end(self, number: int) -> None:
        firing = self.driver.running[number]
        outputs, error = self._outcome(number)
        linked = self.driver.plan.nodes[firing.node].handles_errors
        self.outcomes[number] = [*outputs, ("error", error)] if error and linked else outputs
        self.unhandled += bool(error and not linked)
        self.driver.end(number, *outputs[self._sent.get(number, 0) :], error=error)


def wander(graph: tuple[str, dict[str, Spec]], data: st.DataObject) -> Wanderer:
    return Wanderer(graph, Random(data.draw(st.integers(0, 10_000))).randrange).run()


def node_of(run: Wanderer, number: int) -> int:
    return next(i for i, node in enumerate(run.driver.plan.nodes) if node.id == run.driver.fired[number].node)


# ---- what must hold -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(graphs(merging=False), st.data())
def test_what_nodes_get_does_not_depend_on_the_interleaving(
    graph: tuple[str, dict[str, Spec]], data: st.DataObject
) -> None:
    plain = Driver(plan_of(graph[0], **graph[1]), {name: travel(name) for name in graph[1]}).begin().run()
    random = wander(graph, data)
    for name in graph[1]:
        assert random.driver.of(name) == plain.of(name)
    assert sorted(random.driver.leftovers) == sorted(plain.leftovers)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_firings_are_numbered_without_gaps_and_the_run_ends(
    graph: tuple[str, dict[str, Spec]], data: st.DataObject
) -> None:
    run = wander(graph, data)
    assert sorted(run.outcomes) == list(range(1, run.driver.machine.count + 1))
    assert run.driver.machine.firings == {}
    assert (run.driver.machine.busy, run.driver.machine.blocked) == (0, 0)
    assert run.driver.machine.failed == run.unhandled


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_no_value_is_lost_or_taken_twice(graph: tuple[str, dict[str, Spec]], data: st.DataObject) -> None:
    run = wander(graph, data)
    plan, machine = run.driver.plan, run.driver.machine
    arrived = _arrivals(run)
    for index, node in enumerate(plan.nodes):
        taken: dict[str, Counter[Any]] = defaultdict(Counter)
        for number, fired in run.driver.fired.items():
            if node_of(run, number) == index and fired.causes:
                pins = node.linked * len(fired.causes) if node.collects else node.linked
                for pin, cause in zip(pins, fired.causes, strict=False):
                    taken[pin][cause] += 1
        for pin in node.linked:
            lane = machine.nodes[index].queues.get(pin, Lane())
            left = Counter(cause for _, cause in lane.head)
            if pin in node.static:
                assert set(arrived[index, pin]) == set(taken[pin]) | set(left)
            else:
                assert arrived[index, pin] == taken[pin] + left


def _arrivals(run: Wanderer) -> dict[tuple[int, str], Counter[Any]]:
    """For each node and pin, which outputs went there."""
    arrived: dict[tuple[int, str], Counter[Any]] = defaultdict(Counter)
    for number, outputs in run.outcomes.items():
        routes = run.driver.plan.nodes[node_of(run, number)].routes
        for position, (pin, _) in enumerate(outputs):
            for route in routes.get(pin, ()):
                arrived[route.sink, route.pin][number, position] += 1
    return arrived


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_values_of_an_ordered_node_arrive_in_order(graph: tuple[str, dict[str, Spec]], data: st.DataObject) -> None:
    run = wander(graph, data)
    plan = run.driver.plan
    for index, node in enumerate(plan.nodes):
        for place, pin in enumerate(node.linked):
            if pin in node.static:
                continue
            came: dict[int, list[Any]] = defaultdict(list)
            for number, fired in sorted(run.driver.fired.items()):
                if node_of(run, number) == index:
                    for cause in fired.causes if node.collects else fired.causes[place : place + 1]:
                        came[node_of(run, cause[0])].append(cause)
            for source, causes in came.items():
                if plan.nodes[source].policy.ordered:
                    assert causes == sorted(causes)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_collect_fires_once_after_all_that_can_reach_it(
    graph: tuple[str, dict[str, Spec]], data: st.DataObject
) -> None:
    run = wander(graph, data)
    plan = run.driver.plan
    for collect in plan.collects:
        numbers = [number for number in run.outcomes if node_of(run, number) == collect]
        assert len(numbers) == 1
        before = {number for number in run.outcomes if collect in plan.nodes[node_of(run, number)].feeds}
        assert all(number < numbers[0] for number in before)
        assert before <= _ended_before(run.driver.records, plan, numbers[0])


def _ended_before(records: Sequence[Record], plan: Plan, firing: int) -> set[int]:
    """The firings whose end came not after the record that made ``firing`` ready."""
    machine, ended = Machine(plan), set()
    for record in records:
        if record[0] == "end":
            ended.add(record[1])
        apply(machine, record)
        if machine.count >= firing:
            return ended
    raise AssertionError("the firing never came")


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_a_replay_gives_the_same_state_at_every_prefix(graph: tuple[str, dict[str, Spec]], data: st.DataObject) -> None:
    run = wander(graph, data)
    records = run.driver.records
    live = Machine(run.driver.plan)
    folded = Machine(run.driver.plan)
    for written, record in zip(records, decode_records(encode_records(records)), strict=True):
        apply(live, written)
        apply(folded, record)
        assert state(folded) == state(live)
    assert state(live) == state(run.driver.machine)
    middle = data.draw(st.integers(0, len(records)))
    cut = Machine(run.driver.plan)
    for record in records[:middle]:
        apply(cut, record)
    assert state(replayed(run.driver.plan, records[:middle])) == state(cut)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_a_snapshot_at_every_prefix_goes_on_as_if_nothing_had_been(
    graph: tuple[str, dict[str, Spec]], data: st.DataObject
) -> None:
    run = wander(graph, data)
    records = run.driver.records
    straight = Machine(run.driver.plan)
    passed_on = Machine(run.driver.plan)
    for record in records:
        passed_on = reloaded(passed_on)
        assert state(passed_on) == state(straight)
        assert [each.number for each in passed_on.startable()] == [each.number for each in straight.startable()]
        apply(straight, record)
        apply(passed_on, record)
    assert state(passed_on) == state(run.driver.machine)


# ---- what is kept elsewhere changes nothing -----------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 10_000))
def test_a_run_whose_lines_are_kept_elsewhere_is_the_same_run(
    graph: tuple[str, dict[str, Spec]], seed: int, limit: int, amounts: int
) -> None:
    plain = Wanderer(graph, Random(seed).randrange).run().driver
    elsewhere = Elsewhere(limit, Random(amounts).randrange)
    away = Wanderer(graph, Random(seed).randrange, elsewhere).run().driver
    assert away.records == plain.records
    assert away.fired == plain.fired
    assert away.leftovers == plain.leftovers


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 10_000))
def test_a_snapshot_leaves_elsewhere_what_is_there(
    graph: tuple[str, dict[str, Spec]], seed: int, limit: int, amounts: int
) -> None:
    """Each event is fed to a machine that comes from a snapshot, and that takes away what it can again."""
    plain = Wanderer(graph, Random(seed).randrange).run().driver
    elsewhere = Elsewhere(limit, Random(amounts).randrange)
    straight, passed_on = Machine(plain.plan), Machine(plain.plan)
    for record in plain.records:
        passed_on = reloaded(passed_on)
        elsewhere.mind(passed_on)
        apply(straight, record)
        apply(passed_on, record)
        assert [each.number for each in passed_on.startable()] == [each.number for each in straight.startable()]
        for firing in passed_on.firings.values():
            brought = Firing(firing.number, firing.node, dict(firing.values), firing.causes)
            brought.elsewhere = firing.elsewhere
            elsewhere.bring(brought)
            live = straight.firings[firing.number]
            assert (brought.values, brought.causes) == (live.values, live.causes)
    assert passed_on.finished
    assert list(passed_on.leftovers()) == list(straight.leftovers())
    assert passed_on.outputs == straight.outputs


# ---- one queue a pin is as good as sets ---------------------------------------------------------------------


class Sets:
    """The rule of firing in its own words, as plainly as can be: sets, oldest first."""

    def __init__(self, pins: Sequence[str], static: frozenset[str]) -> None:
        self.pins, self.static = pins, static
        self.sets: list[dict[str, Any]] = []
        self.latest: dict[str, Any] = {}
        self.fired: list[dict[str, Any]] = []

    def arrive(self, pin: str, value: Any) -> None:
        if pin in self.static:
            self.latest[pin] = value
        oldest = next((each for each in self.sets if pin not in each), None)
        if oldest is None:
            self.sets.append({pin: value})
        else:
            oldest[pin] = value
        for each in list(self.sets):
            filled = {**{name: self.latest[name] for name in self.static & self.latest.keys()}, **each}
            if filled.keys() == set(self.pins):
                self.fired.append(filled)
                self.sets.remove(each)


@given(st.frozensets(st.sampled_from("abc")), st.lists(st.sampled_from("abc"), max_size=25))
def test_a_queue_for_each_pin_fires_what_sets_would(static: frozenset[str], arrivals: list[str]) -> None:
    specs = {f"s{pin}": Spec(static=pin in static) for pin in "abc"}
    driver = Driver(plan_of("\n".join(f"s{pin}.x j.{pin}" for pin in "abc"), **specs)).begin()
    oracle = Sets("abc", static)
    for value, pin in enumerate(arrivals):
        driver.send(f"s{pin}", "x", value)
        oracle.arrive(pin, value)
    assert driver.of("j") == oracle.fired
    counted = [each for each in oracle.sets if not each.keys() <= static]
    left = driver.leftovers
    assert bool(left) == bool(counted)
    if left:
        missing = sorted({pin for each in counted for pin in "abc" if pin not in each and pin not in oracle.latest})
        assert set(missing) >= set(left[0][1]) and left[0][1]
        assert left[0][2] == sum(map(len, counted))
