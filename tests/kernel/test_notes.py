"""What a firing notes for its later attempts: kept by the journal and by snapshots, gone with the firing."""

from treadle.base.ids import BlockId, GraphId, NodeId
from treadle.engine.summary import Summary
from treadle.kernel.graph import Graph, Node
from treadle.kernel.machine import Machine
from treadle.kernel.plan import BlockFacts, compile_plan
from treadle.kernel.records import Record, apply, decode_records, encode_records
from treadle.kernel.snapshot import dump, restore

PLAN = compile_plan(Graph(GraphId("g"), 1, (Node(NodeId("n"), BlockId("b")),), ()), lambda block: BlockFacts())
NOTE = {"text": "first", "calls": [["id", "add", "{}", ""]], "$blob": 1}
BEGUN: list[Record] = [
    ("begin", 0, {}, False, {}),
    ("start", 1, 1, 0, {}),
    ("note", 1, NOTE),
    ("out", 1, "turn", "told"),
    ("note", 1, "second"),
]


def machine_after(records: list[Record]) -> Machine:
    machine = Machine(PLAN)
    for record in decode_records(encode_records(records)):
        apply(machine, record)
    return machine


def test_notes_outlive_attempts_and_snapshots() -> None:
    machine = machine_after([*BEGUN, ("retry", 1, 1, "busy", 0, 5), ("resume", 1, None, 5)])
    assert machine.firings[1].notes == [NOTE, "second"]
    restored = Machine(PLAN)
    restore(restored, Summary(1), decode_records(encode_records([("s", dump(machine, Summary(1)))]))[0][1])
    assert restored.firings[1].notes == [NOTE, "second"]


def test_notes_are_neither_outputs_nor_kept_when_the_firing_is_over() -> None:
    machine = machine_after(BEGUN)
    firing = machine.firings[1]
    assert firing.emitted == 1
    machine.ended(1, [], None)
    assert (list(firing.notes), machine.finished, list(machine.leftovers())) == ([], True, [])
