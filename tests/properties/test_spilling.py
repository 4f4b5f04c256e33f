"""Whether long lines are kept in memory or in the database makes no difference, whatever the graph."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Engine, plan_of, running_engine
from treadle.base.database import DatabaseUrls
from treadle.engine import snapshots, spill
from treadle.engine.store import ExecutionRow
from treadle.kernel.graph import NodePolicy
from treadle.kernel.plan import Plan
from treadle.kernel.records import Record

VALUE = st.one_of(
    st.integers(0, 9),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.none(),
    st.lists(st.integers(-(2**70), 2**70), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none() | st.text(max_size=3), max_size=2),
    st.just("large " * 20_000),
)
PURE = ("echo", "join", "collect", "loop")
ORDERLY = ("echo", "join", "collect", "effect", "read", "turns")
"""Without loops: when what comes back joins a line depends on how long effects take."""


@st.composite
def plans(draw: st.DrawFn, names: tuple[str, ...]) -> Plan:
    """A source whose items go through layers of blocks, some of which join two lines, gather one or go round."""
    counted = draw(st.booleans())
    items = draw(st.integers(0, 40)) if counted else draw(st.lists(VALUE, max_size=40))
    nodes: dict[str, Any] = {"src": ("items", {"value": items})}
    links: list[str] = []
    numbers = ["src"] if counted else []
    for index in range(draw(st.integers(1, 6))):
        name, id = draw(st.sampled_from(names)), f"n{index}"
        if name in ("loop", "turns") and not numbers:
            name = "echo"
        before = draw(st.sampled_from(numbers if name in ("loop", "turns") else list(nodes)))
        policy = NodePolicy(concurrency=draw(st.sampled_from([1, 2, 5, 100])))
        if name == "loop":
            nodes |= {f"{id}_add": ("pure", {}, policy), id: ("below", {}, policy)}
            links += [f"{before} > {id}_add", f"{id}_add > {id}", f"{id}.again > {id}_add"]
        else:
            nodes[id] = (name, {}, policy)
            other = draw(st.sampled_from([each for each in nodes if each != id]))
            links += [f"{before} > {id}.a", f"{other} > {id}.b"] if name == "join" else [f"{before} > {id}"]
        if name in ("loop", "turns") or (before in numbers and name in ("echo", "effect", "read")):
            numbers.append(id)
    nodes["out"] = ("output", {"name": "o"})
    return plan_of(nodes, [*links, f"{list(nodes)[-2]} > out.value"])


async def ran(engine: Engine, plan: Plan, *, spilling: int | None) -> tuple[ExecutionRow, list[Record]]:
    """The run as it is with lines of so many entries in memory; with None, with all of them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spill, "LOOK_AT", 1 if spilling else 10**9)
        patched.setattr(spill, "ENTRIES", spilling or 10**9)
        patched.setattr(snapshots, "EVERY", 15)
        patched.setattr("treadle.engine.run.SNAPSHOTS_FROM", 15)
        row = await engine.run(plan)
    return row, await engine.records(row)


def told(records: list[Record]) -> list[Any]:
    """The records without their times."""
    return [record[:4] if record[0] == "end" else record[:1] for record in records]


def ends(plan: Plan, records: list[Record]) -> Counter[str]:
    """What each node sent, however often, in any order."""
    return Counter(repr((plan.nodes[each[7]].id, each[2], each[3])) for each in records if each[0] == "end")


RANDOM_GRAPHS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@RANDOM_GRAPHS
@given(plan=plans(PURE), entries=st.integers(4, 12))
async def test_the_journal_of_a_run_without_effects_is_the_same(
    database: DatabaseUrls, home: Path, plan: Plan, entries: int
) -> None:
    async with running_engine(database, home) as engine:
        await engine.start()
        plain, records = await ran(engine, plan, spilling=None)
        short, others = await ran(engine, plan, spilling=entries)
        assert (short.status, short.error) == (plain.status, plain.error)
        assert repr(short.outputs) == repr(plain.outputs)
        assert short.warnings == plain.warnings
        assert repr(told(others)) == repr(told(records))
        assert await engine.value("SELECT count(*) FROM spilled") == 0


@RANDOM_GRAPHS
@given(plan=plans(ORDERLY), entries=st.integers(4, 12))
async def test_what_a_run_does_is_the_same(database: DatabaseUrls, home: Path, plan: Plan, entries: int) -> None:
    """Effects end in their own time, so the firings of different nodes may be numbered otherwise each time."""
    async with running_engine(database, home) as engine:
        await engine.start()
        plain, records = await ran(engine, plan, spilling=None)
        short, others = await ran(engine, plan, spilling=entries)
        assert (short.status, short.firings) == (plain.status, plain.firings)
        assert ends(plan, others) == ends(plan, records)
        await engine.worker.journal.flushed()
        assert await engine.value("SELECT count(*) FROM spilled") == 0
