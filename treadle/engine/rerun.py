"""Re-run from a firing: a new execution that keeps all of the old one that does not follow from that firing."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from treadle.base.errors import BadInput
from treadle.base.ids import ExecutionId, NodeId
from treadle.kernel.firing import Cause
from treadle.kernel.machine import Machine
from treadle.kernel.plan import Plan, PlanNode
from treadle.kernel.records import FORMAT, Record, apply


@dataclass(slots=True)
class _Old:
    """A firing of the earlier run, as far as it matters for taking it over."""

    number: int
    node: int
    causes: tuple[Cause, ...]
    outputs: list[tuple[str, Any]] = field(default_factory=list)
    streamed: int = 0
    """How many of the outputs went out while it ran; a failure takes nothing of these back."""
    error: str = ""
    ended: bool = False
    touched: bool = False
    """It started or ended: if it runs again, what it did outside is done again."""
    tool: bool = False
    cost: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Rerun:
    """What a re-run begins with, and what it will do again."""

    records: list[Record]
    """The first records of the new execution."""
    kept: int
    """Firings taken over."""
    repeats: list[tuple[int, NodeId]]
    """Firings with effects that will run again: (number in the earlier run, node)."""
    cost: int
    """Credits that the firings which run again took in the earlier run, if they had ended there."""
    tokens: int


def prepare_rerun(
    old: Plan,
    records: Iterable[Record],
    chosen: Collection[int],
    *,
    earlier: ExecutionId,
    new: Plan | None = None,
    edits: Mapping[str, Any] | None = None,
    now_ms: int,
) -> Rerun:
    """Decide what is kept. ``edits`` replaces inputs of the chosen firings; ``new`` is another version of the graph.

    With no firing chosen, only those are run again that had not ended, and those that the new version does otherwise.

    Raises:
        BadInput: the earlier run has no such firing.
    """
    machine, firings = _history(old, records)
    for number in chosen:
        if number not in firings:
            raise BadInput(f"The execution {earlier} has no firing {number}.", fix="`treadle show` lists its firings.")
    plan = new or old
    positions = _unchanged(old, plan)
    dropped = _downstream(old, firings, chosen, positions)
    inputs = {positions.get(node, node): dict(values) for node, values in machine.inputs.items()}
    for each in (firings[number] for number in chosen):
        if edits and not each.causes and each.node in positions:
            inputs.setdefault(positions[each.node], {}).update(edits)
    detail = {"rerun_of": str(earlier), "from": sorted(chosen), "format": FORMAT}
    by_name = {str(node): values for node, values in inputs.items()}
    seed: list[Record] = [("begin", now_ms, by_name, True, detail)]
    kept, numbers = _keep(firings, dropped, positions, old)
    seed.extend(kept)
    seed.append(("open", _edited(old, plan, [firings[number] for number in chosen], numbers, edits or {})))
    again = [each for each in firings.values() if each.number in dropped and each.touched]
    repeats = [(each.number, old.nodes[each.node].id) for each in again if old.nodes[each.node].work == "effect"]
    return Rerun(seed, len(kept), repeats, sum(each.cost for each in again), sum(each.tokens for each in again))


def firings_of(plan: Plan, records: Iterable[Record], node: NodeId) -> list[int]:
    """The numbers of all firings of a node in an earlier run.

    Raises:
        BadInput: there are none.
    """
    _, firings = _history(plan, records)
    found = [each.number for each in firings.values() if plan.nodes[each.node].id == node]
    if not found:
        raise BadInput(f"The node {node} did not fire in that run.", fix="Choose a node or firing that did.")
    return found


def nodes_of(plan: Plan, records: Iterable[Record], chosen: Collection[int]) -> list[PlanNode]:
    """The nodes of these firings of an earlier run, as far as it has them."""
    _, firings = _history(plan, records)
    return [plan.nodes[firings[number].node] for number in chosen if number in firings]


def failed_firings(plan: Plan, records: Iterable[Record]) -> list[int]:
    """The numbers of the firings whose failure no error link took. Empty for a run that ended otherwise."""
    _, firings = _history(plan, records)
    return [each.number for each in firings.values() if each.error and not each.tool and _fails(plan.nodes[each.node])]


def _fails(node: PlanNode) -> bool:
    """Whether a failure of the node is one of the run."""
    return not node.handles_errors and node.policy.on_error != "fallback"


def _edited(
    old: Plan, new: Plan, chosen: Iterable[_Old], numbers: Mapping[int, int], edits: Mapping[str, Any]
) -> list[Any]:
    """What the record says that opens the new run: [node, what filled its pins, inputs to override]."""
    places = {node.id: index for index, node in enumerate(new.nodes)}
    return [
        [place, [(numbers[source], position) for source, position in each.causes], dict(edits)]
        for each in chosen
        if edits
        and each.causes
        and (place := places.get(old.nodes[each.node].id)) is not None
        and all(source in numbers for source, _ in each.causes)
    ]


def _history(plan: Plan, records: Iterable[Record]) -> tuple[Machine, dict[int, _Old]]:
    machine = Machine(plan)
    firings: dict[int, _Old] = {}
    for record in records:
        kind = record[0]
        if kind in ("stop", "close"):
            break
        if kind in ("start", "out", "end"):
            _note(machine, firings, record)
        apply(machine, record)
        if kind == "keep":
            number = machine.count
            causes = tuple((cause[0], cause[1]) for cause in record[2])
            outputs = [(pin, value) for pin, value in record[3]]
            firings[number] = _Old(number, record[1], causes, outputs, error=record[4] or "", ended=True, touched=True)
    for each in machine.open_firings():
        firings.setdefault(each.number, _Old(each.number, each.node, each.causes))
    return machine, dict(sorted(firings.items()))


def _note(machine: Machine, firings: dict[int, _Old], record: Record) -> None:
    live = machine.firings[record[1]]
    old = firings.setdefault(live.number, _Old(live.number, live.node, live.causes, tool=live.caller is not None))
    old.touched = True
    if record[0] == "out":
        old.outputs.append((record[2], record[3]))
        old.streamed += 1
    elif record[0] == "end":
        old.outputs.extend((pin, value) for pin, value in record[2])
        old.error, old.ended = record[3], True
        extra = record[6] if len(record) > 6 and record[6] else {}
        old.cost, old.tokens = int(extra.get("cost", 0)), int(extra.get("tokens", 0))


def _unchanged(old: Plan, new: Plan) -> dict[int, int]:
    """Old index -> new index of the nodes that would do the same in the new plan."""
    positions = {}
    places = {node.id: index for index, node in enumerate(new.nodes)}
    for index, node in enumerate(old.nodes):
        place = places.get(node.id)
        if place is not None and _same(node, new.nodes[place]):
            positions[index] = place
    return positions


def _same(old: PlanNode, new: PlanNode) -> bool:
    return (old.block_id, old.constants, old.linked) == (new.block_id, new.constants, new.linked)


def _downstream(
    old: Plan, firings: Mapping[int, _Old], chosen: Collection[int], positions: Mapping[int, int]
) -> set[int]:
    """The chosen firings, all that follows from them, and all that the new plan would do otherwise."""
    dropped = set(chosen)
    collects: set[int] = set()
    for number in chosen:
        collects.update(old.nodes[firings[number].node].feeds)
    for number, each in firings.items():
        follows = any(source in dropped for source, _ in each.causes) or each.node in collects
        if number in dropped or follows or not each.ended or each.node not in positions:
            dropped.add(number)
            collects.update(old.nodes[each.node].feeds)
    return dropped


def _keep(
    firings: Mapping[int, _Old], dropped: set[int], positions: Mapping[int, int], plan: Plan
) -> tuple[list[Record], dict[int, int]]:
    """Keep-records in the order of the earlier numbers, and earlier number -> new number."""
    kept: list[Record] = []
    numbers: dict[int, int] = {}
    for number, each in firings.items():
        if number in dropped or each.tool:
            continue
        numbers[number] = len(numbers) + 1
        causes = [(numbers[source], position) for source, position in each.causes]
        outputs, error = each.outputs, each.error
        policy = plan.nodes[each.node].policy
        if error and policy.on_error == "fallback":
            outputs, error = [*outputs[: each.streamed], *policy.fallback], ""
        kept.append(("keep", positions[each.node], causes, outputs, error, number))
    return kept, numbers
