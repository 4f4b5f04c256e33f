"""What happened in an execution, step by step: folded from its journal by the same state machine that ran it."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from treadle.base.ids import BlockId, NodeId
from treadle.engine.secrets import MASK, masked
from treadle.kernel.firing import Cause, Firing, Phase
from treadle.kernel.machine import Machine
from treadle.kernel.plan import Plan, PlanNode
from treadle.kernel.records import Record, Reference, apply

ALL_FIRINGS = range(1, sys.maxsize)


@dataclass(slots=True)
class FiringView:
    """One firing: what it was given, what it sent, and when."""

    number: int
    node: NodeId
    title: str
    block_id: BlockId
    status: str
    """``ready``, ``running``, ``retrying``, ``waiting``, ``review``, ``completed`` or ``failed``."""
    attempt: int = 1
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: list[tuple[str, Any]] = field(default_factory=list)
    causes: tuple[Cause, ...] = ()
    """Which outputs filled the pins: (firing, position among its outputs)."""
    error: str = ""
    started_ms: int | None = None
    """When the latest attempt began, in milliseconds since 1970."""
    ended_ms: int | None = None
    microseconds: int = 0
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """Attempts that failed and were repeated."""
    waits: list[dict[str, Any]] = field(default_factory=list)
    """Reviews and waits: what for, since when, and what came."""
    usage: dict[str, Any] = field(default_factory=dict)
    kept_from: int | None = None
    """Re-run: the number that this firing had in the earlier run."""
    caller: tuple[int, int] | None = None


class History:
    """Folds records into firings. ``secret_pins`` names the pins of a block whose values are never shown.

    Only the firings whose numbers are in ``window`` are kept. Large values may stay references, but for those that
    ``selected`` names: a part of them goes down a link.
    """

    def __init__(
        self, plan: Plan, secret_pins: Callable[[BlockId], frozenset[str]], window: range = ALL_FIRINGS
    ) -> None:
        self.plan = plan
        self.machine = Machine(plan)
        self.window = window
        self.firings: dict[int, FiringView] = {}
        self.begun_ms: int | None = None
        self.closed: tuple[str, int, str] | None = None
        self._secret_pins = secret_pins
        self._opened: dict[int, tuple[Any, Reference]] = {}
        """Values that were read because of their parts, by identity: they are shown as references all the same."""

    def fold(self, records: Iterable[Record]) -> "History":
        """Fold further records, in order."""
        for record in records:
            self.add(record, {})
        return self

    def selected(self, record: Record) -> list[Reference]:
        """The large values in the next record from which a link takes a part."""
        if record[0] == "out":
            outputs, node = [(record[2], record[3])], self._node(record[1])
        elif record[0] == "end":
            outputs, node = record[2], self._node(record[1])
        elif record[0] == "keep":
            outputs, node = record[3], self.plan.nodes[record[1]]
        else:
            return []
        if node is None:
            return []
        return [
            value
            for pin, value in outputs
            if isinstance(value, Reference) and any(route.source_name != pin for route in node.routes.get(pin, ()))
        ]

    def add(self, record: Record, contents: Mapping[str, Any]) -> None:
        """Fold one record. ``contents`` has the large values that ``selected`` named, by digest."""
        self._note(record)
        if contents:
            for reference in self.selected(record):
                value = contents[reference.digest]
                self._opened[id(value)] = (value, reference)
            apply(self.machine, tuple(_opened(record, contents)))
        else:
            apply(self.machine, record)
        if record[0] == "keep":
            self._note_kept(record)

    def settled(self) -> bool:
        """Whether nothing that is still to come can change a firing of the window."""
        if self.machine.count < self.window.stop - 1:
            return False
        return next(self.machine.open_firings(self.window), None) is None

    def finish(self) -> list[FiringView]:
        """Every firing of the window so far, in order; those that are not over with what they stand at."""
        for firing in self.machine.open_firings(self.window):
            view = self._view(firing)
            view.status = _status(firing)
        return [self.firings[number] for number in sorted(self.firings)]

    def take(self) -> list[FiringView]:
        """The firings that are over and were not taken before; they are forgotten here."""
        over = [number for number in self.firings if number not in self.machine.firings]
        return [self.firings.pop(number) for number in sorted(over)]

    def _node(self, number: int) -> PlanNode | None:
        firing = self.machine.firings.get(number)
        return None if firing is None else self.plan.nodes[firing.node]

    def _shown(self, value: Any) -> Any:
        known = self._opened.get(id(value)) if self._opened else None
        return known[1] if known is not None else masked(value)

    def _note(self, record: Record) -> None:
        kind = record[0]
        if kind == "begin":
            self.begun_ms = record[1]
        elif kind == "close":
            self.closed = (record[1], record[2], record[3])
        elif (
            kind in _NOTES and record[1] in self.window and (firing := self.machine.firings.get(record[1])) is not None
        ):
            _NOTES[kind](self._view(firing), record)

    def _view(self, firing: Firing) -> FiringView:
        view = self.firings.get(firing.number)
        if view is None:
            node = self.plan.nodes[firing.node]
            secret = self._secret_pins(node.block_id)
            inputs = self.machine.inputs_of(firing)
            view = self.firings[firing.number] = FiringView(
                firing.number,
                node.id,
                node.title or str(node.constants.get("name") or ""),
                node.block_id,
                "ready",
                inputs={pin: MASK if pin in secret and value else self._shown(value) for pin, value in inputs.items()},
                causes=firing.causes,
                caller=firing.caller,
            )
        return view

    def _note_kept(self, record: Record) -> None:
        if self.machine.count not in self.window:
            return
        node = self.plan.nodes[record[1]]
        self.firings[self.machine.count] = FiringView(
            self.machine.count,
            node.id,
            node.title,
            node.block_id,
            "failed" if record[4] else "completed",
            outputs=[(pin, masked(value)) for pin, value in record[3]],
            causes=tuple((cause[0], cause[1]) for cause in record[2]),
            error=record[4] or "",
            kept_from=record[5],
        )


def _opened(record: Record, contents: Mapping[str, Any]) -> Iterator[Any]:
    """The record with these large values in place of their references."""
    for member in record:
        if isinstance(member, Reference) and member.digest in contents:
            yield contents[member.digest]
        elif isinstance(member, list):
            yield [_opened_output(each, contents) for each in member]
        else:
            yield member


def _opened_output(output: Any, contents: Mapping[str, Any]) -> Any:
    pin, value = output
    return (pin, contents[value.digest]) if isinstance(value, Reference) and value.digest in contents else output


def _status(firing: Firing) -> str:
    if firing.phase is Phase.READY:
        return "running" if firing.begun else "ready"
    return "completed" if firing.phase is Phase.ENDED else firing.phase.value


def _started(view: FiringView, record: Record) -> None:
    view.attempt, view.started_ms = record[2], record[3]
    view.status = "running"  # and stays so if the run ends under it


def _sent(view: FiringView, record: Record) -> None:
    view.outputs.append((record[2], masked(record[3])))


def _ended(view: FiringView, record: Record) -> None:
    view.outputs.extend((pin, masked(value)) for pin, value in record[2])
    view.error, view.ended_ms, view.microseconds = record[3], record[4], record[5]
    view.status = "failed" if record[3] else "completed"
    _used(view, record, 6)
    if view.started_ms is None:
        view.started_ms = record[4] - record[5] // 1000


def _retried(view: FiringView, record: Record) -> None:
    view.attempts.append({"attempt": record[2], "error": record[3], "at_ms": record[4], "again_ms": record[5]})
    _used(view, record, 7)


def _waited(view: FiringView, record: Record) -> None:
    view.waits.append({"kind": record[2], "payload": masked(record[3]), "since_ms": record[4], "until_ms": record[5]})
    _used(view, record, 7)


def _used(view: FiringView, record: Record, place: int) -> None:
    """Add up what the attempts of the firing have used."""
    used = record[place] if len(record) > place else None
    if used:
        view.usage = {name: view.usage.get(name, 0) + value for name, value in used.items()} | {
            name: value for name, value in view.usage.items() if name not in used
        }


def _resumed(view: FiringView, record: Record) -> None:
    if view.waits and record[2] is not None:
        view.waits[-1].update(decision=record[2], resumed_ms=record[3])


_NOTES: dict[str, Callable[[FiringView, Record], None]] = {
    "start": _started,
    "out": _sent,
    "end": _ended,
    "retry": _retried,
    "wait": _waited,
    "resume": _resumed,
}
