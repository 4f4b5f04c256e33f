"""Crash everywhere: a simulated disk, clock and outside world around the state machine.

For every position of the journal the process is killed when just so many records are durable; another one recovers
from them and goes on. What comes out is compared with the run that was never killed.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.kernel.driver import Emission, Spec, plan_of, replayed
from treadle.kernel.firing import Firing, Phase
from treadle.kernel.graph import NodePolicy
from treadle.kernel.records import Record, apply

PLAN = plan_of(
    """s.out pure.in
s.out mail.to
text.out mail.text
mail.out ask.in
ask.out o.value
pure.out stream.in
stream.out all.item
all.items total.in
total.out o.value
pure.out bad.in
bad.error o.value
bad.error all.item""",
    s=Spec(),
    text=Spec(static=True),
    mail=Spec(work="effect", policy=NodePolicy(concurrency=2)),
    ask=Spec(kind="Human In The Loop"),
    stream=Spec(),
    bad=Spec(work="effect"),
    all=Spec(kind="Collect"),
    total=Spec(),
    o=Spec(kind="Output", constants={"name": "y"}),
)


class Killed(Exception):
    """The process is gone."""


class Fails(Exception):
    """The attempt failed."""


class Busy(Fails):
    """The attempt failed, and may pass."""


@dataclass
class World:
    """What outlives a process: the disk, the time, and whatever effects have done."""

    disk: list[Record] = field(default_factory=list)
    now: int = 0
    effects: list[tuple[int, int, str]] = field(default_factory=list)
    """(firing, attempt, what was done), in order."""

    def ended(self) -> list[int]:
        """The firings whose end is durable."""
        return [record[1] for record in self.disk if record[0] == "end"]


class Process:
    """A worker in small: pure firings run ahead of the disk, effects wait for it.

    It dies when it would write record ``dies_at`` (from 0) or, with ``early``, right before the first effect that
    would start with just so many durable records.
    """

    def __init__(self, world: World, dies_at: int | None = None, *, early: bool = False) -> None:
        self.world, self.dies_at, self.early = world, dies_at, early
        self.machine = replayed(PLAN, world.disk)
        self.machine.ready = self.machine.startable()
        self.pending: list[Record] = []
        self.effects: list[tuple[Firing, int]] = []

    def run(self) -> "Process":
        if not self.world.disk:
            self.record("begin", self.world.now, {}, False, {})
        while not self.machine.finished:
            while self.machine.ready:
                self.start(self.machine.ready.popleft())
            self.commit()
            if self.effects:
                self.attempt(*self.effects.pop(0))
            elif not self.machine.finished:
                self.wake()
        self.record("close", "COMPLETED", self.world.now, "")
        self.commit()
        return self

    def record(self, *record: Any) -> None:
        self.pending.append(record)
        apply(self.machine, record)

    def commit(self) -> None:
        for record in self.pending:
            if len(self.world.disk) == self.dies_at:
                raise Killed
            self.world.disk.append(record)
        self.pending = []

    def start(self, firing: Firing) -> None:
        node = PLAN.nodes[firing.node]
        if node.work == "effect":
            self.record("start", firing.number, firing.attempt, self.world.now, {})
            self.effects.append((firing, len(self.world.disk) + len(self.pending) - 1))
        elif node.id == "ask" and firing.decision is None:
            self.record("wait", firing.number, "review", {"text": firing.values["in"]}, self.world.now, None)
        elif node.id == "stream":
            for pin, value in list(self.outputs(firing))[firing.emitted :]:
                self.record("out", firing.number, pin, value)
                self.commit()
            self.record("end", firing.number, [], "", self.world.now, 0)
        else:
            self.record("end", firing.number, list(self.outputs(firing)), "", self.world.now, 0)

    def attempt(self, firing: Firing, position: int) -> None:
        if self.early and len(self.world.disk) == self.dies_at:
            raise Killed
        self.check_durable(firing, position)
        try:
            outputs = list(self.outputs(firing))
        except Busy as failure:
            self.record("retry", firing.number, firing.attempt, str(failure), self.world.now, self.world.now + 10)
        except Fails as failure:
            self.record("end", firing.number, [], str(failure), self.world.now, 0)
        else:
            self.record("end", firing.number, outputs, "", self.world.now, 0)

    def check_durable(self, firing: Firing, position: int) -> None:
        """The whole journal up to and including the start of this attempt is on the disk, and its end is not."""
        assert self.world.disk[position][:3] == ("start", firing.number, firing.attempt)
        assert firing.number not in self.world.ended()
        assert firing.begun

    def wake(self) -> None:
        """Nothing runs: time passes, people answer."""
        firing = min(self.machine.blocked_firings(), key=lambda each: (each.due or 0, each.number))
        self.world.now = max(self.world.now, firing.due or 0)
        decision = None if firing.phase is Phase.RETRYING else {"approved": True, "data": "yes"}
        self.record("resume", firing.number, decision, self.world.now)

    def outputs(self, firing: Firing) -> Iterator[Emission]:
        """What each block does."""
        inputs, node = self.machine.inputs_of(firing), PLAN.nodes[firing.node].id
        if node == "s":
            yield from [("out", each) for each in (1, 2, 3)]
        elif node == "text":
            yield "out", "hello"
        elif node == "mail":
            self.world.effects.append((firing.number, firing.attempt, f"{inputs['text']} {inputs['to']}"))
            if inputs["to"] == 2 and firing.attempt == 1:
                raise Busy("try later")
            yield "out", f"sent {inputs['to']}"
        elif node == "bad":
            self.world.effects.append((firing.number, firing.attempt, "bad"))
            raise Fails(f"broken {inputs['in']}")
        elif node == "stream":
            yield from [("out", [inputs["in"], part]) for part in "abc"]
        elif node == "all":
            yield "items", inputs["item"]
        elif node == "total":
            yield "out", len(inputs["in"])
        elif node == "o":
            yield "output", inputs["value"]
        else:
            yield "out", inputs["in"]


def never_killed() -> tuple[World, Process]:
    world = World()
    return world, Process(world).run()


LENGTH = len(never_killed()[0].disk)


def killed(*deaths: int, early: bool) -> tuple[World, Process, list[list[int]]]:
    """A run that dies at these positions, and is then left in peace; with the ends that each death left durable."""
    world = World()
    ends: list[list[int]] = []
    for death in deaths:
        try:
            return world, Process(world, death, early=early).run(), ends
        except Killed:
            ends.append(world.ended())
    return world, Process(world).run(), ends


def compare(world: World, process: Process) -> None:
    straight, never = never_killed()
    assert Counter(map(repr, process.machine.outputs)) == Counter(map(repr, never.machine.outputs))
    assert process.machine.count == never.machine.count
    assert process.machine.failed == never.machine.failed == 0
    assert list(process.machine.leftovers()) == []
    assert sorted(world.ended()) == list(range(1, process.machine.count + 1)), "each firing ends once"
    assert {each[2] for each in world.effects} == {each[2] for each in straight.effects}
    sent = [(record[1], record[3]) for record in world.disk if record[0] == "out"]
    assert len(sent) == len(set(map(repr, sent))) == 9, "a stream goes on where it was"


def test_the_run_that_is_never_killed_does_what_the_tests_lean_on() -> None:
    world, process = never_killed()
    kinds = Counter(record[0] for record in world.disk)
    assert kinds == {"begin": 1, "start": 7, "out": 9, "end": 26, "retry": 1, "wait": 3, "resume": 4, "close": 1}
    assert [value for _, value in process.machine.outputs if isinstance(value, int)] == [12]


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("death", range(LENGTH))
def test_killed_once(death: int, early: bool) -> None:
    world, process, _ = killed(death, early=early)
    compare(world, process)


@pytest.mark.parametrize("first", range(LENGTH))
def test_killed_twice(first: int) -> None:
    for second in range(first, LENGTH + 3):
        compare(*killed(first, second, early=False)[:2])


@pytest.mark.parametrize("death", range(LENGTH))
def test_what_is_repeated_is_only_what_had_no_durable_end(death: int) -> None:
    world, _, ends = killed(death, early=False)
    done = Counter((firing, attempt) for firing, attempt, _ in world.effects)
    assert all(count <= 2 for count in done.values())
    repeated = {firing for (firing, _), count in done.items() if count > 1}
    assert not repeated & set(ends[0])
    assert len(repeated) <= 1, "one effect ran at a time"


def test_an_effect_is_repeated_when_its_start_is_durable_and_its_end_is_not() -> None:
    straight, _ = never_killed()
    repeats = [len(killed(death, early=False)[0].effects) - len(straight.effects) for death in range(LENGTH)]
    assert (min(repeats), max(repeats)) == (0, 1)


def test_an_effect_that_had_not_started_is_not_repeated() -> None:
    straight, _ = never_killed()
    for death in range(LENGTH):
        world, _, _ = killed(death, early=True)
        started = world.disk[death - 1][0] == "start"
        assert len(world.effects) - len(straight.effects) <= (0 if started else 1)
