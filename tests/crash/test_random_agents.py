"""Agents made by chance, run on PostgreSQL, killed by chance and in a chance order of tasks.

Each is run once undisturbed; whatever is done to it afterwards, it must come to the same end and repeat no effect whose
end was durable.
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
from tests.engine.harness import Engine, plan_of, sub_agent
from treadle.base.ids import ExecutionId
from treadle.blocks.foreach import for_each
from treadle.engine.store import ExecutionRow
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


def agent(chance: Random) -> Plan:
    """A tree of steps over the sources; whatever leads no further is an output, gathered or not."""
    nodes: dict[str, Any] = dict(sources(chance))
    pins = {name: "result" if node[0] == for_each.id else "value" for name, node in nodes.items()}
    links: list[str] = []
    texts: set[str] = set()
    leaves = dict.fromkeys(nodes)
    for i in range(chance.randrange(1, 8)):
        before = chance.choice([name for name in nodes if name not in texts])
        kind = chance.choice(list(STEPS))
        name = f"n{i}"
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
    return plan_of(nodes, links)


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
class Ordeal:
    """A run whose workers die at their commits: at which, and whether that one is still written."""

    engine: Engine
    plan: Plan
    deaths: list[tuple[int, bool]]
    died: int = 0
    ended: dict[tuple[ExecutionId, int], int] = field(default_factory=dict)
    """Firings whose end was durable when a worker died, and how much had been done by then."""

    async def run(self) -> ExecutionRow:
        """Worker after worker, until the run is over."""
        while (row := await self._live()) is None:
            pass
        return row

    async def _live(self) -> ExecutionRow | None:
        """One worker's life: the run, if it came to its end."""
        engine = self.engine
        watched = Watched(engine)
        dies_at, written = self.deaths[self.died] if self.died < len(self.deaths) else (None, False)
        await watched.start(dies_at, written=written)
        id = await engine.value("SELECT id FROM executions WHERE parent_id IS NULL")
        running = asyncio.create_task(engine.finished(ExecutionId(id)) if id else engine.run(self.plan))
        dying = asyncio.create_task(watched.died.wait())
        await asyncio.wait((running, dying), return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not watched.died.is_set():
            return await running
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await engine.crash()
        self.died += 1
        for firing in await durable_ends(engine):
            self.ended.setdefault(firing, len(engine.calls.log))
        return None

    def repeated(self) -> list[str]:
        """Nodes that were run again although their end was durable."""
        log = enumerate(self.engine.calls.log)
        return [node for at, (node, run, firing, _) in log if at >= self.ended.get((run, firing), at + 1)]


def outputs(row: ExecutionRow) -> list[str]:
    """What the run gave, in no order: that of several branches, or of what was gathered, is nobody's promise."""
    return sorted(
        repr((name, sorted(value, key=repr) if isinstance(value, list) else value)) for name, value in row.outputs
    )


@pytest.mark.parametrize("seed", range(16))
async def test_an_agent_made_by_chance_comes_to_its_end_through_kills(
    idle: Engine, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = Random(seed)
    plan = agent(chance)
    idle.agents.plans |= {"inner": INNER, "middle": MIDDLE}
    idle.calls.gate.set()
    idle.calls.failures = {node.id: 10**6 for node in plan.nodes if node.policy == HOPELESS}
    undisturbed = await Ordeal(idle, plan, []).run()
    assert undisturbed.status is Status.COMPLETED, (undisturbed.error, plan)
    for _ in range(3):
        for limit, small in SMALL.items():
            if chance.random() < 0.3:
                monkeypatch.setattr(limit, small)
        await idle.workers.pop().close()
        for table in ("journal", "snapshots", "spilled", "executions"):
            await idle.connection.execute(f"DELETE FROM {table}")
        idle.calls.log.clear()
        deaths = [(chance.randrange(12), chance.random() < 0.5) for _ in range(2)]
        ordeal = Ordeal(idle, plan, deaths)
        with any_order(chance):
            row = await ordeal.run()
        about = (deaths, ordeal.died, plan)
        assert (row.status, row.error) == (Status.COMPLETED, None), about
        assert outputs(row) == outputs(undisturbed), about
        assert not ordeal.repeated(), about
        await durable_ends(idle)
        statuses = {each["status"] for each in await idle.connection.fetch("SELECT status FROM executions")}
        assert statuses == {"COMPLETED"}, about
