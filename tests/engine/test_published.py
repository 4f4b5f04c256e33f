"""What the journal tells its process of: every row, once it is durable, and nothing else."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.engine.harness import Engine, chain, plan_of, until
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId
from treadle.engine.journal import Rows
from treadle.engine.store import ExecutionRow
from treadle.engine.view import History
from treadle.engine.worker import Worker
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.kernel.plan import Plan
from treadle.kernel.records import Record, decode_records
from treadle.kernel.states import Status

NODE_AT = {"start": 5, "out": 4, "end": 7, "retry": 6, "wait": 6, "resume": 4}
"""Where the records of firings name the node."""


class Published:
    """Keeps what it is told, as the journal would."""

    def __init__(self) -> None:
        self.bodies: dict[UUID, list[bytes]] = {}
        self.last: dict[UUID, int] = {}

    def committed(self, rows: Rows, held: set[UUID]) -> None:
        for root, id, seq, count, body in zip(
            rows.roots, rows.executions, rows.seqs, rows.counts, rows.bodies, strict=True
        ):
            if root in held:
                assert seq == self.last.get(id, 0) + 1
                self.last[id] = seq + count - 1
                self.bodies.setdefault(id, []).append(body)

    def records(self, id: UUID) -> list[Record]:
        return [record for body in self.bodies.get(id, ()) for record in decode_records(body)]


async def publishing(engine: Engine) -> tuple[Worker, Published]:
    """A worker that tells."""
    worker, published = await engine.start(), Published()
    worker.on_committed = worker.journal.on_committed = published.committed
    return worker, published


async def test_all_that_is_durable_is_told_in_order_and_sub_agents_too(idle: Engine) -> None:
    _, published = await publishing(idle)
    idle.agents.plans["child"] = plan_of(
        {"in": "input", "do": "effect", "out": ("output", {"name": "o"})}, ["in > do", "do > out.value"], id="child"
    )
    plan = plan_of({"ask": ("agents", {"graph_id": "child", "count": 3})})
    row = await idle.run(plan)
    assert row.status is Status.COMPLETED
    for each in (row, *await idle.children(row)):
        assert published.records(each.id) == await idle.records(each)


async def test_nothing_is_told_before_it_is_durable(idle: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, published = await publishing(idle)
    await idle.run(chain("pure"))
    published.last.clear()
    disk, reached = asyncio.Event(), asyncio.Event()
    write = worker.journal._write

    async def slow(*arguments: Any) -> Any:
        reached.set()
        await disk.wait()
        return await write(*arguments)

    monkeypatch.setattr(worker.journal, "_write", slow)
    running = asyncio.create_task(idle.run(chain("pure", "effect")))
    await reached.wait()
    assert not published.last
    disk.set()
    row = await running
    assert published.last == {row.id: row.last_seq}


async def test_what_a_lost_lease_records_is_not_told(idle: Engine) -> None:
    worker, published = await publishing(idle)
    id = await worker.submit(LOCAL_WORKSPACE, chain("gated", "effect"), {})
    await until(lambda: idle.calls.running["n0"])
    told = dict(published.last)
    await idle.connection.execute("UPDATE executions SET epoch = epoch + 1 WHERE id = $1", id)
    idle.calls.gate.set()
    await until(lambda: id not in worker.roots)
    assert published.last == told


def nodes_by_folding(plan: Plan, records: list[Record]) -> dict[int, int]:
    """The node of every firing, found the long way."""
    history = History(plan, lambda _: frozenset())
    places = {node.id: index for index, node in enumerate(plan.nodes)}
    return {view.number: places[view.node] for view in history.fold(records).finish()}


async def decided(engine: Engine, id: ExecutionId, firing: int) -> ExecutionRow:
    await engine.worker.store.tell(LOCAL_WORKSPACE, id, "decision", "yes", firing=firing, payload={"approved": True})
    return await engine.finished(id)


async def test_records_of_firings_name_their_node(engine: Engine) -> None:
    engine.calls.failures["fail"] = 1
    engine.calls.gate.set()
    retry = NodePolicy(retry=RetryPolicy(attempts=3, first_delay=0.01))
    plan = plan_of(
        {
            "items": ("items", {"value": 3}),
            "add": "pure",
            "stream": ("streaming", {"value": 2}),
            "fail": ("failing", {"value": "later", "seconds": 0.0}, retry),
            "ask": ("review", {"value": 1}),
        },
        ["items > add"],
    )
    row = await engine.at_rest(plan)
    (asking,) = [record for record in await engine.records(row) if record[0] == "wait"]
    done = await decided(engine, row.id, asking[1])
    records = await engine.records(done)
    assert NODE_AT.keys() <= {record[0] for record in records}
    nodes = nodes_by_folding(plan, records)
    for record in records:
        if record[0] in NODE_AT:
            assert record[NODE_AT[record[0]]] == nodes[record[1]], record
