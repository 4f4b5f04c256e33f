"""Snapshots of long runs: recovery then reads one of them and the records after it, instead of the whole journal.

A snapshot says what the first *n* records led to. It is taken when the state machine has been fed exactly those, and
written once the commit that holds the last of them is durable: a snapshot never knows more than the journal. It is
only a short cut: one of an earlier format is passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from treadle.base.ids import WorkerId
from treadle.engine.run import SNAPSHOTS_FROM, Kept, Run
from treadle.kernel.machine import Machine
from treadle.kernel.records import FORMAT, decode_records, encode_records
from treadle.kernel.snapshot import dump, restore

if TYPE_CHECKING:
    from treadle.engine.journal import Batch, Owner
    from treadle.engine.large import LargeValues
    from treadle.engine.spill import Spills

EVERY = SNAPSHOTS_FROM
"""Records between two snapshots of a run, at least."""
_SAVE = "SELECT snapshots_save_v1($1, $2, $3, $4, $5, $6::smallint, $7, $8, $9)"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that waits for the commit of its records."""

    run: Run
    seq: int
    body: bytes
    newest: int
    """The newest key of what was kept elsewhere then."""
    needed: list[int]
    """Keys up to that one which the state refers to."""


def take(run: Run, large: "LargeValues", spills: "Spills", batch: "Batch") -> None:
    """Take a snapshot of the run if enough has happened since the last; ``batch`` holds its latest records."""
    if run.seq - run.snapshot_seq < max(EVERY, 2 * _size(run.machine)):
        run.snapshot_due = run.seq + EVERY
        return
    run.snapshot_seq = run.seq
    run.snapshot_due = run.seq + EVERY
    state = _with_references(dump(run.machine, run.summary), large, batch)
    newest, needed = spills.needed(run)
    state["chunks"] = list(needed.items())
    firings = state.pop("firings")
    body = encode_records([("snapshot", state), *(("firing", *each) for each in firings)])
    batch.snapshots.append(Snapshot(run, run.seq, body, newest, list(needed)))


async def save(connection: asyncpg.Connection, worker: WorkerId, owner: "Owner", batch: "Batch") -> None:
    """Write the snapshots of a batch that is durable; they replace older ones."""
    for each in batch.snapshots:
        held = (worker, owner.id, owner.epoch, each.run.id)
        await connection.execute(_SAVE, *held, each.seq, FORMAT, each.body, each.newest, each.needed)


def read(body: bytes) -> dict[str, Any]:
    """The state in a stored snapshot; large values in it are references."""
    (_, state), *firings = decode_records(body)
    return {**state, "firings": [each[1:] for each in firings]}


def bring_back(run: Run, seq: int, state: dict[str, Any]) -> None:
    """Put a fresh run into the state of a snapshot."""
    restore(run.machine, run.summary, state)
    run.spilled = {key: Kept(inside=inside) for key, inside in state["chunks"]}
    run.seq = run.snapshot_seq = seq
    run.snapshot_due = seq + EVERY


def _size(machine: Machine) -> int:
    """How many values and firings the state holds, roughly."""
    waiting = sum(lane.in_memory + len(lane.chunks) for state in machine.nodes for lane in state.lanes())
    gathered = sum(len(state.gathered) for state in machine.nodes)
    return len(machine.firings) + len(machine.outputs) + waiting + gathered


def _with_references(state: dict[str, Any], large: "LargeValues", batch: "Batch") -> dict[str, Any]:
    """The state with each large value replaced by a reference, as in the journal."""

    def kept(value: Any) -> Any:
        return large.recorded_value(value, batch)

    def payload(value: Any) -> Any:
        return large.recorded_payload(value, batch)

    def pairs(items: Any) -> list[tuple[str, Any]]:
        return [(name, kept(value)) for name, value in items]

    def caused(items: Any) -> list[tuple[Any, Any]]:
        return [(kept(value), cause) for value, cause in items]

    def entries_with(entries: Any) -> list[Any]:
        return [large.recorded_entry(entry, batch) for entry in entries]

    def lane_with(lane: Any) -> list[Any]:
        head, chunks, last = lane
        return [entries_with(head), chunks, entries_with(last)]

    state["inputs"] = {node: dict(pairs(values.items())) for node, values in state["inputs"].items()}
    state["outputs"] = pairs(state["outputs"])
    state["results"] = [[number, pairs(result)] for number, result in state["results"]]
    state["firings"] = [
        (number, node, {pin: kept(value) for pin, value in values.items()}, causes, _rest(rest, kept, payload))
        for number, node, values, causes, rest in state["firings"]
    ]
    for node in state["nodes"]:
        node["queues"] = {pin: lane_with(lane) for pin, lane in node["queues"].items()}
        node["backlog"] = node["backlog"] and lane_with(node["backlog"])
        node["latest"] = {pin: (kept(value), cause) for pin, (value, cause) in node["latest"].items()}
        node["gathered"] = caused(node["gathered"])
    return state


def _rest(rest: dict[str, Any], kept: Callable[[Any], Any], payload: Callable[[Any], Any]) -> dict[str, Any]:
    """What is special about a firing, with its large values as references."""
    if not rest:
        return rest
    known = dict(rest)
    if "held" in rest:
        known["held"] = [(pin, kept(value)) for pin, value in rest["held"]]
    if "notes" in rest:
        known["notes"] = [kept(note) for note in rest["notes"]]
    for name in ("payload", "decision"):
        if name in rest:
            known[name] = payload(rest[name])
    return known
