"""Agents made by chance, run on PostgreSQL, killed by chance and in a chance order of tasks.

Each is run once undisturbed; whatever is done to it afterwards, alone or with others, it must come to the same end and
repeat no effect whose end was durable.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from tests.crash.commits import Watched
from tests.engine.harness import Engine, plan_of, sub_agent, until
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, uuid7
from treadle.blocks.foreach import for_each
from treadle.engine.store import ExecutionRow
from treadle.engine.worker import Worker
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.kernel.plan import Plan
from treadle.kernel.records import decode_records
from treadle.kernel.states import Status

INNER = plan_of(
    {"in": "input", "a": "turns", "b": "effect", "out": ("output", {"name": "value"})},
    ["in > a", "a > b", "b > out.value"],
    id="inner",
)
MIDDLE = plan_of(
    {"in": "input", "ask": sub_agent("inner"), "out": ("output", {"name": "value"})},
    ["in > ask", "ask > out.value"],
    id="middle",
)
HOPELESS = NodePolicy(timeout=600.0)
"""Of nodes whose every attempt fails; they are told by it."""
PATIENT = NodePolicy(retry=RetryPolicy(attempts=20, first_delay=0.0, on="any"))
STEPS: dict[str, Any] = {
    "pure": "pure",
    "echo": "echo",
    "read": "read",
    "effect": "effect",
    "turns": "turns",
    "timer": ("timer", {"seconds": 0.0}),
    "slow": ("effect", {}, NodePolicy(concurrency=1)),
    "streaming": "streaming",
    "items": "items",
    "inner": sub_agent("inner"),
    "middle": sub_agent("middle"),
    "broken": ("failing", {}, HOPELESS),
    "mended": ("failing", {}, PATIENT),
}


SMALL = {
    "treadle.engine.run.SNAPSHOTS_FROM": 5,
    "treadle.engine.snapshots.EVERY": 5,
    "treadle.engine.spill.LOOK_AT": 1,
    "treadle.engine.spill.ENTRIES": 4,
    "treadle.engine.root.HIGH_WATER": 4,
    "treadle.engine.root.PARK_AFTER_MS": 0,
    "treadle.engine.journal.ROWS_OF": 2,
}
"""Limits so small that what is made for large runs happens in these."""


def sources(chance: Random) -> dict[str, tuple[Any, ...]]:
    """One or two nodes to begin with."""
    numbers = [chance.randrange(4) for _ in range(chance.choice([1, 3, 6, 20]))]
    each = {"graph_id": "inner", "input_name": "value", "output_name": "value", "concurrency": chance.choice([1, 2, 5])}
    kinds: list[tuple[Any, ...]] = [
        ("items", {"value": numbers}),
        ("effect", {"value": 2}),
        ("agents", {"graph_id": chance.choice(["inner", "middle"]), "count": chance.randrange(1, 4)}),
        (for_each.id, {"items": numbers, **each}),
    ]
    return {f"s{i}": chance.choice(kinds) for i in range(chance.choice([1, 1, 2]))}


def agent(chance: Random, id: str = "graph") -> Plan:
    """A tree of steps over the sources; whatever leads no further is an output, gathered or not."""
    nodes: dict[str, Any] = dict(sources(chance))
    pins = {name: "result" if node[0] == for_each.id else "value" for name, node in nodes.items()}
    links: list[str] = []
    texts: set[str] = set()
    leaves = dict.fromkeys(nodes)
    for i in range(chance.randrange(1, 8)):
        before = chance.choice([name for name in nodes if name not in texts])
        kind = chance.choice(list(STEPS))
        name = f"{id}_n{i}"
        nodes[name], pins[name] = STEPS[kind], "error" if kind == "broken" else "value"
        if kind in ("broken", "mended"):
            texts.add(name)
        links.append(f"{before}.{pins[before]} > {name}.value")
        leaves.pop(before, None)
        leaves[name] = None
    for name in leaves:
        pin = f"{name}.{pins[name]}"
        if chance.random() < 0.3:
            nodes[f"all_{name}"] = "collect"
            links.append(f"{pin} > all_{name}")
            pin = f"all_{name}"
        nodes[f"o_{name}"] = ("output", {"name": name})
        links.append(f"{pin} > o_{name}.value")
    return plan_of(nodes, links, id=id)


@contextmanager
def any_order(chance: Random) -> Iterator[None]:
    """Let tasks have their turns later than they asked for, now and then."""
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon

    def late(callback: Any, *arguments: Any, context: Any = None) -> Any:
        is_task = isinstance(getattr(callback, "__self__", None), asyncio.Task) or "Task" in type(callback).__name__
        if is_task and chance.random() < 0.2:
            return call_soon(lambda: late(callback, *arguments, context=context))
        return call_soon(callback, *arguments, context=context)

    loop.call_soon = late  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        loop.call_soon = call_soon  # type: ignore[method-assign]


async def durable_ends(engine: Engine) -> set[tuple[ExecutionId, int]]:
    """The firings whose end is on the disk; every run's journal is whole, and says each thing once."""
    async with engine.connection.transaction(isolation="repeatable_read"):
        return await _durable_ends(engine)


async def _durable_ends(engine: Engine) -> set[tuple[ExecutionId, int]]:
    ends: Counter[tuple[ExecutionId, int]] = Counter()
    closed: Counter[ExecutionId] = Counter()
    next_seq: dict[ExecutionId, int] = {}
    for row in await engine.connection.fetch("SELECT * FROM journal ORDER BY execution_id, seq"):
        id = ExecutionId(row["execution_id"])
        assert row["seq"] == next_seq.get(id, 1), "there is a gap"
        next_seq[id] = row["seq"] + row["count"]
        for record in decode_records(row["body"]):
            if record[0] == "end":
                ends[id, record[1]] += 1
            elif record[0] == "close":
                closed[id] += 1
    assert set(ends.values()) | set(closed.values()) <= {1}, "something ended twice"
    for row in await engine.connection.fetch("SELECT id, status, last_seq FROM executions"):
        assert closed[row["id"]] == (row["status"] in ("COMPLETED", "FAILED", "TERMINATED")), "row and journal differ"
    return set(ends)


@dataclass
class Witness:
    """Knows which firings had durably ended when a worker died, and so must not run again."""

    engine: Engine
    ended: dict[tuple[ExecutionId, int], int] = field(default_factory=dict)
    """Those, and how much had been done by then."""

    async def bury(self, worker: Worker) -> None:
        """A worker has died."""
        await self.engine.crash(worker)
        for firing in await durable_ends(self.engine):
            self.ended.setdefault(firing, len(self.engine.calls.log))

    def repeated(self) -> list[str]:
        """Nodes that were run again although their end was durable."""
        log = enumerate(self.engine.calls.log)
        return [node for at, (node, run, firing, _) in log if at >= self.ended.get((run, firing), at + 1)]


async def run_through(witness: Witness, plan: Plan, deaths: list[tuple[int, bool]]) -> ExecutionRow:
    """The run on workers that die at these of their commits, one after the other; ``True`` if it is still written."""
    engine = witness.engine
    for dies_at, written in [*deaths, (None, False)]:
        watched = Watched(engine)
        worker = await watched.start(dies_at, written=written)
        id = await engine.value("SELECT id FROM executions WHERE parent_id IS NULL")
        running = asyncio.create_task(engine.finished(ExecutionId(id)) if id else engine.run(plan))
        dying = asyncio.create_task(watched.died.wait())
        await asyncio.wait((running, dying), return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not watched.died.is_set():
            return await running
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await witness.bury(worker)
    raise AssertionError("the last worker does not die")


@dataclass
class Crew:
    """Two workers on one database. Whoever dies is replaced, until ``deaths`` have died."""

    witness: Witness
    chance: Random
    deaths: int
    members: list[tuple[Watched, Worker]] = field(default_factory=list)

    async def fill(self) -> None:
        """Bury who has died, and let others begin."""
        for watched, worker in [each for each in self.members if each[0].died.is_set()]:
            self.members.remove((watched, worker))
            await self.witness.bury(worker)
            self.deaths -= 1
        while len(self.members) < 2:
            watched = Watched(self.witness.engine)
            dies_at = self.chance.randrange(2, 40) if self.deaths > 0 else None
            self.members.append((watched, await watched.start(dies_at, written=self.chance.random() < 0.5)))

    async def all_over(self) -> bool:
        await self.fill()
        query = "SELECT bool_and(status IN ('COMPLETED', 'FAILED', 'TERMINATED')) FROM executions"
        return bool(await self.witness.engine.value(query))


def outputs(row: ExecutionRow) -> list[str]:
    """What the run gave, in no order: that of several branches, or of what was gathered, is nobody's promise."""
    return sorted(
        repr((name, sorted(value, key=repr) if isinstance(value, list) else value)) for name, value in row.outputs
    )


async def undisturbed(engine: Engine, plan: Plan) -> list[str]:
    """What the agent gives when nothing happens to it; nothing is left of that run."""
    engine.agents.plans |= {"inner": INNER, "middle": MIDDLE}
    engine.calls.gate.set()
    engine.calls.failures |= {node.id: 10**6 for node in plan.nodes if node.policy == HOPELESS}
    worker = await engine.start()
    row = await engine.run(plan)
    assert row.status is Status.COMPLETED, (row.error, plan)
    await worker.close()
    await forget(engine)
    return outputs(row)


async def forget(engine: Engine) -> None:
    """Forget everything but the agents."""
    engine.workers.clear()
    for table in ("journal", "snapshots", "spilled", "executions"):
        await engine.connection.execute(f"DELETE FROM {table}")
    engine.calls.log.clear()


def limit_by_chance(chance: Random, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, small in SMALL.items():
        if chance.random() < 0.3:
            monkeypatch.setattr(limit, small)


@pytest.mark.parametrize("seed", range(16))
async def test_an_agent_made_by_chance_comes_to_its_end_through_kills(
    idle: Engine, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = Random(seed)
    plan = agent(chance)
    expected = await undisturbed(idle, plan)
    for _ in range(3):
        limit_by_chance(chance, monkeypatch)
        deaths = [(chance.randrange(12), chance.random() < 0.5) for _ in range(2)]
        witness = Witness(idle)
        with any_order(chance):
            row = await run_through(witness, plan, deaths)
        assert (row.status, row.error, outputs(row)) == (Status.COMPLETED, None, expected), (deaths, plan)
        assert not witness.repeated(), (deaths, plan)
        await durable_ends(idle)
        assert await idle.value("SELECT bool_and(status = 'COMPLETED') FROM executions")
        await idle.workers.pop().close()
        await forget(idle)


@pytest.mark.parametrize("seed", range(10))
async def test_agents_made_by_chance_come_to_their_ends_on_workers_of_which_some_die(
    idle: Engine, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = Random(f"crew {seed}")
    monkeypatch.setattr("treadle.engine.worker.SWEEP_SECONDS", 0.05)
    monkeypatch.setattr("treadle.engine.company.PAUSE_SECONDS", 0.05)
    plans = {id: agent(chance, id) for id in ("g0", "g1", "g2", "g3", "g4")}
    expected = {id: await undisturbed(idle, plan) for id, plan in plans.items()}
    limit_by_chance(chance, monkeypatch)
    witness = Witness(idle)
    crew = Crew(witness, chance, deaths=5)
    with any_order(chance):
        await crew.fill()
        store = crew.members[0][1].store
        for plan in plans.values():
            await store.enqueue(ExecutionId(uuid7()), LOCAL_WORKSPACE, plan, {})
        await until(crew.all_over, 60)
    ids = await idle.connection.fetch("SELECT id FROM executions WHERE parent_id IS NULL")
    rows = [await idle.finished(ExecutionId(each["id"])) for each in ids]
    assert {str(row.graph_id): outputs(row) for row in rows} == expected, plans
    assert not witness.repeated(), plans
    await durable_ends(idle)
