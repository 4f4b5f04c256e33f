"""Sub-agents: they run where their root runs, and their ends are written with what their parents make of them."""

from uuid import UUID

import pytest

from tests.engine.harness import Engine, plan_of, sub_agent, until
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.engine.ports import Limits
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.kernel.states import Status


def with_child(engine: Engine, *names: str) -> None:
    """The agent ``child``: its input goes through these blocks to its output."""
    steps = {f"c{i}": name for i, name in enumerate(names)}
    links = [f"{a} > {b}" for a, b in zip(["in", *steps], [*steps, "out.value"], strict=True)]
    child = {"in": "input", **steps, "out": ("output", {"name": "value"})}
    engine.agents.plans["child"] = plan_of(child, links, id="child")


PARENT = plan_of(
    {"sub": sub_agent("child", value=1), "do": "effect", "out": ("output", {"name": "o"})},
    ["sub > do", "do > out.value"],
)


async def test_a_sub_agents_outputs_are_passed_on(engine: Engine) -> None:
    with_child(engine, "pure", "effect")
    row = await engine.run(PARENT)
    assert (row.status, row.outputs) == (Status.COMPLETED, [("o", 2)])
    (child,) = await engine.children(row)
    assert (child.status, child.parent_firing, child.root_id) == (Status.COMPLETED, 1, row.id)
    assert child.graph_id == "child"


async def test_a_sub_agents_failure_fails_the_node_that_started_it(engine: Engine) -> None:
    with_child(engine, "failing")
    row = await engine.run(PARENT)
    assert row.status is Status.FAILED
    assert "sub" in str(row.error)
    assert "It broke." in str(row.error)
    assert [child.status for child in await engine.children(row)] == [Status.FAILED]


AGAIN = NodePolicy(retry=RetryPolicy(attempts=3, on="any", first_delay=0.01))
TRIED_AGAIN = {"sub": (*sub_agent("child", value=1), AGAIN), "out": ("output", {"name": "o"})}


async def test_a_step_that_is_tried_again_starts_its_failed_sub_agent_anew(engine: Engine) -> None:
    with_child(engine, "effect", "failing")
    engine.calls.failures["c1"] = 2
    plan = plan_of(TRIED_AGAIN, ["sub > out.value"])
    row = await engine.run(plan)
    assert (row.status, row.outputs) == (Status.COMPLETED, [("o", "mended")])
    children = sorted(await engine.children(row), key=lambda child: child.id)
    assert [child.status for child in children] == [Status.FAILED, Status.FAILED, Status.COMPLETED]
    assert engine.calls.nodes() == ["c0", "c1"] * 3
    ends = [record[5] for record in await engine.records(row) if record[0] == "sub"]
    assert [("It broke." in error) for error in ends] == [True, True, False]


async def test_after_a_crash_a_failed_sub_agent_is_not_started_anew_within_its_attempt(engine: Engine) -> None:
    """The sub-agent has failed and the second attempt goes on: that one is taken up, the failed one is left."""
    with_child(engine, "failing", "gated")
    plan = plan_of(TRIED_AGAIN, ["sub > out.value"])
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["c1"])
    await engine.crash()
    engine.calls.gate.set()
    await engine.start()
    row = await engine.finished(id)
    assert (row.status, row.outputs) == (Status.COMPLETED, [("o", "mended")])
    assert sorted(child.status for child in await engine.children(row)) == [Status.COMPLETED, Status.FAILED]
    assert engine.calls.nodes().count("c0") == 2


async def test_what_was_sent_of_a_failed_sub_agent_stands(engine: Engine) -> None:
    parts = {"in": "input", "quick": "pure", "first": ("output", {"name": "value"}), "bad": "failing"}
    engine.agents.plans["child"] = plan_of(
        parts, ["in > quick", "quick > first.value", "first.output > bad"], id="child"
    )
    plan = plan_of(TRIED_AGAIN, ["sub > out.value"])
    row = await engine.run(plan)
    assert row.status is Status.FAILED
    assert (row.outputs, len(await engine.children(row))) == ([("o", 2)], 1)


async def test_an_agent_that_calls_itself_is_cut_off(idle: Engine) -> None:
    idle.limits = Limits(depth=3)
    await idle.start()
    idle.agents.plans["child"] = plan_of({"in": "input", "sub": sub_agent("child")}, ["in > sub"], id="child")
    row = await idle.run(PARENT)
    assert row.status is Status.FAILED
    assert "deeper than 3 levels" in str(row.error)
    assert await idle.value("SELECT count(*) FROM executions") == 4


async def test_a_review_in_a_nested_sub_agent_shows_at_the_root(engine: Engine) -> None:
    with_child(engine, "review", "effect")
    engine.agents.plans["middle"] = plan_of(
        {"in": "input", "sub": sub_agent("child"), "out": ("output", {"name": "value"})},
        ["in > sub", "sub > out.value"],
        id="middle",
    )
    parent = plan_of(
        {"sub": sub_agent("middle", value="deep"), "out": ("output", {"name": "o"})},
        ["sub > out.value"],
    )
    row = await engine.at_rest(parent)
    assert row.status is Status.REVIEW
    assert engine.worker.roots == {}
    (review,) = await engine.connection.fetch("SELECT execution_id, firing FROM reviews")
    await engine.worker.store.tell(LOCAL_WORKSPACE, row.id, "decision", "stray", firing=77)
    await until(lambda: engine.value("SELECT folded_at IS NOT NULL FROM inbox"))
    assert (await engine.finished(row.id, resting=True)).status is Status.REVIEW
    await engine.worker.store.tell(
        LOCAL_WORKSPACE, review["execution_id"], "decision", "yes", firing=review["firing"], payload={"data": "ok"}
    )
    done = await engine.finished(row.id)
    assert (done.status, done.outputs) == (Status.COMPLETED, [("o", "ok")])
    assert await engine.value("SELECT count(*) FROM executions") == 3
    assert engine.calls.nodes().count("c1") == 1


async def test_sub_agents_go_on_in_another_worker_after_a_crash(engine: Engine) -> None:
    with_child(engine, "effect", "gated")
    id = await engine.worker.submit(LOCAL_WORKSPACE, PARENT, {})
    await until(lambda: engine.calls.running["c1"])
    await engine.crash()
    engine.calls.gate.set()
    await engine.start()
    row = await engine.finished(id)
    assert (row.status, row.outputs) == (Status.COMPLETED, [("o", 1)])
    assert await engine.value("SELECT count(*) FROM executions") == 2
    assert engine.calls.nodes() == ["c0", "c1", "c1", "do"]


async def test_a_tree_is_read_parents_first_whatever_the_ids(idle: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids come from clocks, which go back and stand still."""
    falling = iter(range(1_000_000, 0, -1))
    await idle.start()
    with_child(idle, "gated")
    middle = plan_of({"in": "input", "sub": sub_agent("child")}, ["in > sub"], id="middle")
    idle.agents.plans["middle"] = middle
    parent = plan_of({"sub": sub_agent("middle", value=1)})
    with monkeypatch.context() as patched:
        patched.setattr("treadle.engine.doors.uuid7", lambda: UUID(int=next(falling)))
        id = await idle.worker.submit(LOCAL_WORKSPACE, parent, {})
        await until(lambda: idle.calls.running["c0"])
    tree = await idle.worker.store.tree([id])
    assert [row.graph_id for row in tree] == ["graph", "middle", "child"]
    await idle.crash()
    idle.calls.gate.set()
    await idle.start()
    assert (await idle.finished(id)).status is Status.COMPLETED


async def test_many_sub_agents_hold_no_slots_that_they_need_themselves(idle: Engine) -> None:
    idle.limits = Limits(concurrent_firings=1)
    await idle.start(capacity=1)
    with_child(idle, "effect")
    plan = plan_of({"subs": ("agents", {"graph_id": "child", "count": 30}), "all": "collect"}, ["subs > all"])
    row = await idle.run(plan)
    assert row.status is Status.COMPLETED
    assert {child.status for child in await idle.children(row)} == {Status.COMPLETED}
    assert len(await idle.children(row)) == 30
