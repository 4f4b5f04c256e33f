"""The summary of an execution, folded from its records: what lists, statuses and costs are read from.

The same fold writes the summary row while a run is live and rebuilds it from the journal.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from treadle.kernel.machine import Machine
from treadle.kernel.records import Record, encode_records
from treadle.kernel.states import Status

OUTPUTS_KEPT = 1_000
SHOWN = 20
_TEXT_KEPT = 2_000
_TITLE_KEPT = 200
_USAGE = ("tokens", "sent_tokens", "received_tokens", "calls")


class Summary:
    """Counts and costs by node, and of the whole execution."""

    __slots__ = ("cost", "nodes", "tokens")

    def __init__(self, nodes: int) -> None:
        self.nodes: list[list[int]] = [[0, 0, 0, 0] for _ in range(nodes)]
        """For each node: firings that ended, of those failed, microseconds, credits. Of one that has used models or
        paid services besides: tokens, those sent, those received, calls, millionths of a US dollar.
        """
        self.cost = 0
        self.tokens = 0

    def ended(self, node: int, error: str, microseconds: int, extra: dict[str, Any] | None) -> None:
        """A firing of the node is over."""
        counts = self.nodes[node]
        counts[0] += 1
        counts[2] += microseconds
        if error:
            counts[1] += 1
        self.used(node, extra)

    def used(self, node: int, usage: dict[str, Any] | None) -> None:
        """An attempt of the node has used models or paid services."""
        if usage:
            counts = self.nodes[node]
            cost = int(usage.get("cost", 0))
            counts[3] += cost
            self.cost += cost
            self.tokens += int(usage.get("tokens", 0))
            _add_usage(counts, usage)


def _add_usage(counts: list[int], extra: dict[str, Any]) -> None:
    counts.extend([0] * (9 - len(counts)))
    for place, name in enumerate(_USAGE, 4):
        counts[place] += int(extra.get(name, 0))
    counts[8] += round(float(extra.get("usd", 0)) * 1e6)


def fold_summary(summary: Summary, machine: Machine, record: Record) -> None:
    """Count a record; called before the machine is fed with it, because an ended firing is then forgotten.

    Firings taken over from an earlier run are not counted: they were paid for there.
    """
    if record[0] == "end":
        firing = machine.firings.get(record[1])
        if firing is not None:
            summary.ended(firing.node, record[3], record[5], record[6] if len(record) > 6 else None)
    elif record[0] in ("retry", "wait") and len(record) > 7 and (firing := machine.firings.get(record[1])) is not None:
        summary.used(firing.node, record[7])


def summary_row(
    machine: Machine,
    summary: Summary,
    status: Status,
    error: str | None,
    seq: int,
    outputs: Sequence[tuple[str, Any]],
) -> dict[str, Any]:
    """The columns of the execution's summary row; ``outputs`` are the first of the execution's, as recorded."""
    nodes = machine.plan.nodes
    return {
        "status": status.value,
        "outputs": plain_json([[name, value] for name, value in outputs]),
        "warnings": warnings_of(machine) if status in (Status.COMPLETED, Status.FAILED) else [],
        "failures": [
            {"firing": number, "node": nodes[node].id, "message": message[:_TEXT_KEPT]}
            for number, node, message in machine.failures[:SHOWN]
        ],
        "nodes": {nodes[i].id: counts for i, counts in enumerate(summary.nodes) if counts[0]},
        "error": error,
        "firings": machine.count,
        "failed": machine.failed,
        "cost": summary.cost,
        "last_seq": seq,
    }


def warnings_of(machine: Machine) -> list[dict[str, Any]]:
    """Which nodes still waited for which pins when the run ended."""
    return [
        {"node": machine.plan.nodes[node].id, "waits_for": pins, "left_over": left}
        for node, pins, left in machine.leftovers()
    ]


def final_status(machine: Machine, title: Callable[[int], str]) -> tuple[Status, str | None]:
    """How an execution that has nothing left to do ends, and the sentence that says why.

    ``title`` gives what people call a node of the plan, by its index.
    """
    if not machine.failed:
        return Status.COMPLETED, None
    first = machine.failures[0]
    more = f" ({machine.failed:,} steps failed in all)" if machine.failed > 1 else ""
    return Status.FAILED, f"Step {first[0]}, {title(first[1])[:_TITLE_KEPT]}: {first[2][:_TEXT_KEPT]}{more}"


def plain_json(value: Any) -> Any:
    """Values in the form of a JSON column: marked as in the journal, without the characters it refuses."""
    plain = msgspec.json.decode(body := encode_records([("", value)]))[0][1]
    return storable(plain) if b"\\u0000" in body else plain


def storable(value: Any) -> Any:
    """``value`` without what PostgreSQL takes in no text: NUL becomes U+FFFD, halves of surrogate pairs become "?"."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [storable(each) for each in value]
    if isinstance(value, dict):
        return {storable(key): storable(each) for key, each in value.items()}
    return value
