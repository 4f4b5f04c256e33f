"""A state machine as plain data, so that recovery of a long run need not fold its whole journal."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from treadle.kernel.firing import Cause, Firing, Phase
from treadle.kernel.lane import Chunk, Entry, Lane, Spilled, away_from, pack_set, pack_value, unpack_set, unpack_value
from treadle.kernel.machine import Machine, NodeState

_USUAL: dict[str, Any] = {
    "phase": Phase.READY,
    "attempt": 1,
    "begun": False,
    "emitted": 0,
    "held": (),
    "sent": 0,
    "decision": None,
    "due": None,
    "payload": None,
    "notes": (),
    "caller": None,
}
"""A firing that has not begun."""


class Counts(Protocol):
    """The part of the summary that a snapshot carries along."""

    nodes: list[list[int]]
    cost: int
    tokens: int


def dump(machine: Machine, counts: Counts) -> dict[str, Any]:
    """Everything that the events so far have led to. Values are left as they are: encode them like records.

    What is kept elsewhere stays there, and must be kept for as long as the snapshot is.
    """
    return {
        "inputs": {str(node): values for node, values in machine.inputs.items()},
        "count": machine.count,
        "busy": machine.busy,
        "blocked": machine.blocked,
        "failures": machine.failures,
        "failed": machine.failed,
        "outputs": machine.outputs,
        "stop": machine.stop_reason,
        "approved": sorted(machine.approved),
        "tools": [[*key, number] for key, number in machine.tool_calls.items()],
        "results": [[number, result] for number, result in machine.tool_results.items()],
        "live": [[collect, live] for collect, live in machine.live.items()],
        "open": machine.open,
        "edits": [[node, sorted(causes), inputs] for (node, causes), inputs in machine.edits.items()],
        "kept_starts": sorted(machine.kept_starts),
        "firings": [_dump_firing(firing) for firing in machine.firings.values()],
        "nodes": [_dump_node(state) for state in machine.nodes],
        "summary": [counts.nodes, counts.cost, counts.tokens],
    }


def restore(machine: Machine, counts: Counts, data: dict[str, Any]) -> None:
    """Bring a fresh machine to the state that was dumped."""
    machine.inputs = {int(node): values for node, values in data["inputs"].items()}
    machine.count, machine.busy, machine.blocked = data["count"], data["busy"], data["blocked"]
    machine.failures = [(number, node, message) for number, node, message in data["failures"]]
    machine.failed = data["failed"]
    machine.outputs = [(name, value) for name, value in data["outputs"]]
    machine.stop_reason = data["stop"]
    machine.approved = set(data["approved"])
    machine.tool_calls = {(caller, slot): number for caller, slot, number in data["tools"]}
    machine.tool_results = {number: [(pin, value) for pin, value in result] for number, result in data["results"]}
    machine.live = dict(data["live"])
    machine.open, machine.kept_starts = data["open"], set(data["kept_starts"])
    machine.edits = {(node, frozenset(map(_cause, causes))): inputs for node, causes, inputs in data["edits"]}
    machine.firings = {each[0]: _load_firing(each) for each in data["firings"]}
    for state, dumped in zip(machine.nodes, data["nodes"], strict=True):
        _load_node(state, dumped, machine.firings)
    counts.nodes, counts.cost, counts.tokens = data["summary"]


def _cause(pair: Sequence[int]) -> Cause:
    return pair[0], pair[1]


def _dump_firing(firing: Firing) -> tuple[int, int, dict[str, Any], tuple[Cause, ...], dict[str, Any]]:
    """Number, node, values, causes, and what is not as in a fresh firing: most of a long run's firings only wait."""
    rest = {}
    for name, usual in _USUAL.items():
        value = getattr(firing, name)
        if (value or usual) and value != usual:
            rest[name] = value
    if "phase" in rest:
        rest["phase"] = firing.phase.value
    values = firing.values
    if firing.elsewhere is not None:
        rest["elsewhere"] = (firing.elsewhere.key, firing.elsewhere.index)
    elif away := away_from(values):
        rest["away"], values = away, {**values, **dict.fromkeys(away)}
    return firing.number, firing.node, values, firing.causes, rest


def _load_firing(data: Sequence[Any]) -> Firing:
    number, node, values, causes, rest = data
    for pin, place in rest.pop("away", {}).items():
        values[pin] = Spilled(*place)
    firing = Firing(number, node, values, tuple(map(_cause, causes)))
    for name, value in rest.items():
        setattr(firing, name, value)
    firing.elsewhere = Spilled(*rest["elsewhere"]) if "elsewhere" in rest else None
    firing.phase = Phase(rest.get("phase", Phase.READY.value))
    firing.held = tuple((pin, value) for pin, value in firing.held)
    firing.caller = (firing.caller[0], firing.caller[1]) if firing.caller else None
    return firing


def _dump_lane(lane: Lane, pack: Callable[[Entry], Entry]) -> list[Any]:
    """Entries in front, chunks, entries behind."""
    chunks = [(each.key, each.count, _dump_numbers(each.numbers)) for each in lane.chunks]
    return [list(map(pack, lane.head)), chunks, list(map(pack, lane.last)) if chunks else []]


def _dump_numbers(numbers: Sequence[int] | None) -> dict[str, int] | list[int] | None:
    if isinstance(numbers, range):
        return {"first": numbers.start, "end": numbers.stop, "step": numbers.step}
    return None if numbers is None else list(numbers)


def _load_numbers(data: dict[str, int] | list[int] | None) -> Sequence[int] | None:
    return range(data["first"], data["end"], data["step"]) if isinstance(data, dict) else data


def _load_lane(data: Sequence[Any], unpack: Callable[[Sequence[Any]], Entry]) -> Lane:
    head, chunks, last = data
    lane = Lane()
    whole = (Chunk(key, count, _load_numbers(numbers)) for key, count, numbers in chunks)
    lane.restore(map(unpack, head), whole, map(unpack, last))
    return lane


def _dump_node(state: NodeState) -> dict[str, Any]:
    return {
        "queues": {pin: _dump_lane(lane, pack_value) for pin, lane in state.queues.items() if lane.head},
        "latest": state.latest,
        "inflight": list(state.inflight),
        "running": state.running,
        "backlog": _dump_lane(state.backlog, pack_set) if state.backlog is not None and state.backlog.head else None,
        "gathered": state.gathered,
        "fired": state.fired,
    }


def _load_node(state: NodeState, data: dict[str, Any], firings: dict[int, Firing]) -> None:
    for pin, lane in data["queues"].items():
        state.queues[pin] = _load_lane(lane, unpack_value)
    state.latest = {pin: (value, _cause(cause)) for pin, (value, cause) in data["latest"].items()}
    state.inflight = {number: firings[number] for number in data["inflight"]}
    state.running = data["running"]
    state.backlog = _load_lane(data["backlog"], unpack_set) if data["backlog"] else None
    state.gathered = [(value, _cause(cause)) for value, cause in data["gathered"]]
    state.fired = data["fired"]
