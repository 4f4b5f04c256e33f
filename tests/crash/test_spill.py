"""Runs whose lines are kept in the database in part, killed at every commit: what comes out stays the same."""

from typing import Any

import pytest

from tests.crash.commits import killed_at_every_commit
from tests.engine.harness import Engine, plan_of
from treadle.engine import snapshots, spill
from treadle.kernel.graph import NodePolicy
from treadle.kernel.plan import Plan
from treadle.kernel.states import Status

PAIRS = plan_of(
    {
        "src": ("items", {"value": 14}),
        "do": ("effect", {}, NodePolicy(concurrency=4)),
        "pair": ("join", {}, NodePolicy(concurrency=1)),
        "then": ("effect", {}, NodePolicy(concurrency=3)),
        "out": ("output", {"name": "o"}),
    },
    ["src > do", "do > pair.a", "src > pair.b", "pair > then", "then > out.value"],
)
"""Items wait for what becomes of them, and then for their turn."""
LOOP = plan_of(
    {
        "src": ("items", {"value": 9}),
        "add": ("pure", {}, NodePolicy(concurrency=2)),
        "do": ("effect", {}, NodePolicy(concurrency=5)),
        "again": "below",
        "out": ("output", {"name": "o"}),
    },
    ["src > add", "add > do", "do > again", "again.again > add", "again > out.value"],
)
"""What comes back joins a line that is long already."""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a few entries stay in memory, and snapshots are taken often."""
    monkeypatch.setattr(spill, "LOOK_AT", 1)
    monkeypatch.setattr(spill, "ENTRIES", 4)
    monkeypatch.setattr(snapshots, "EVERY", 5)
    monkeypatch.setattr("treadle.engine.run.SNAPSHOTS_FROM", 5)


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("plan", "outputs", "firings"),
    [(PAIRS, [[i, i] for i in range(14)], 1 + 4 * 14), (LOOP, [5] * 5 + [6, 7, 8, 9], 1 + 3 * 19 + 9)],
    ids=["pairs", "loop"],
)
async def test_killed_at_every_commit(
    idle: Engine, plan: Plan, outputs: list[Any], firings: int, written: bool
) -> None:
    runs = 0
    async for row in killed_at_every_commit(idle, plan, written=written):
        assert row.status is Status.COMPLETED, (runs, row.error)
        values = [value for _, value in row.outputs]
        assert (values if plan is PAIRS else sorted(values)) == outputs, runs
        assert row.firings == firings
        records = await idle.records(row)
        ends = [record[1] for record in records if record[0] == "end"]
        assert sorted(ends) == list(range(1, firings + 1)), "each firing ends once"
        runs += 1
    assert runs > 5
