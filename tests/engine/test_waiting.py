"""Reviews, timers, stops, sub-agents and tools: what waits holds no worker, and goes on when it is told to."""

import asyncio
from typing import Any

import pytest

from tests.engine.harness import Engine, chain, plan_of, until
from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, WorkspaceId, uuid7
from treadle.engine.store import ExecutionRow
from treadle.kernel.states import Status

ASK = plan_of({"ask": ("review", {"value": "draft"}), "out": ("output", {"name": "o"})}, ["ask > out.value"])


async def decide(engine: Engine, row: ExecutionRow, key: str, firing: int = 1, **payload: Any) -> None:
    await engine.worker.store.tell(LOCAL_WORKSPACE, row.id, "decision", key, firing=firing, payload=payload)


async def test_a_review_holds_no_worker_and_the_decision_resumes_it(engine: Engine) -> None:
    row = await engine.at_rest(ASK)
    assert row.status is Status.REVIEW
    assert engine.worker.roots == {}
    assert await engine.value("SELECT worker_id FROM executions") is None
    assert await engine.value("SELECT payload ->> 'data' FROM reviews WHERE status = 'WAITING'") == "draft"
    await decide(engine, row, "d1", approved=True, data="edited")
    done = await engine.finished(row.id)
    assert (done.status, done.outputs) == (Status.COMPLETED, [("o", "edited")])
    assert await engine.value("SELECT status FROM reviews WHERE decided_at IS NOT NULL") == "APPROVED"


async def test_a_rejection_fails_the_node(engine: Engine) -> None:
    row = await engine.at_rest(ASK)
    await decide(engine, row, "d1", approved=False, message="too long")
    done = await engine.finished(row.id)
    assert done.status is Status.FAILED
    assert "too long" in str(done.error)
    assert await engine.value("SELECT status FROM reviews") == "REJECTED"


async def test_the_first_decision_counts_and_the_same_one_twice_counts_once(engine: Engine) -> None:
    row = await engine.at_rest(ASK)
    store = engine.worker.store
    await asyncio.gather(
        *(
            store.tell(LOCAL_WORKSPACE, row.id, "decision", "yes", firing=1, payload={"approved": True})
            for _ in range(5)
        )
    )
    try:
        await decide(engine, row, "no", approved=False)
    except Conflict:
        pass
    done = await engine.finished(row.id)
    assert (done.status, done.outputs) == (Status.COMPLETED, [("o", "draft")])
    assert len([record for record in await engine.records(done) if record[0] == "resume"]) == 1
    assert await engine.value("SELECT status FROM reviews") == "APPROVED"


async def test_a_decision_that_fits_nothing_leaves_a_running_run_alone(engine: Engine) -> None:
    id = await engine.worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    await until(lambda: engine.calls.running["n0"])
    await engine.worker.store.tell(LOCAL_WORKSPACE, id, "decision", "stray", firing=1, payload={})
    await until(lambda: engine.value("SELECT folded_at IS NOT NULL FROM inbox"))
    engine.calls.gate.set()
    assert (await engine.finished(id)).status is Status.COMPLETED
    assert engine.calls.cancelled == 0


async def test_a_decision_that_fits_nothing_puts_a_waiting_run_back_to_rest(engine: Engine) -> None:
    row = await engine.at_rest(ASK)
    await decide(engine, row, "stray", firing=99)
    await until(lambda: engine.value("SELECT folded_at IS NOT NULL FROM inbox"))
    assert (await engine.finished(row.id, resting=True)).status is Status.REVIEW
    assert engine.worker.roots == {}
    await decide(engine, row, "right", approved=True)
    assert (await engine.finished(row.id)).status is Status.COMPLETED


async def test_reviews_in_a_loop_and_approval_for_the_rest_of_the_run(engine: Engine) -> None:
    plan = plan_of(
        {"src": ("items", {"value": 4}), "ask": "review", "out": ("output", {"name": "o"})},
        ["src > ask", "ask > out.value"],
    )
    row = await engine.at_rest(plan)
    firings = [row["firing"] for row in await engine.connection.fetch("SELECT firing FROM reviews ORDER BY 1")]
    assert firings == [2, 3, 4, 5]
    await decide(engine, row, "one", firing=2, approved=True)
    await until(lambda: engine.value("SELECT count(*) = 1 FROM inbox WHERE folded_at IS NOT NULL"))
    row = await engine.finished(row.id, resting=True)
    assert row.status is Status.REVIEW
    for firing in (5, 4, 3):
        await decide(engine, row, f"d{firing}", firing=firing, approved=True)
    done = await engine.finished(row.id)
    assert done.outputs == [("o", 0), ("o", 1), ("o", 2), ("o", 3)]


async def test_approval_for_ever_spares_later_reviews_of_that_node(engine: Engine) -> None:
    plan = plan_of(
        {
            "first": ("echo", {"value": 0}),
            "ask": "review",
            "add": "pure",
            "loop": "below",
            "out": ("output", {"name": "o"}),
        },
        ["first > ask", "ask > add", "add > loop", "loop.again > ask", "loop > out.value"],
    )
    row = await engine.at_rest(plan)
    await decide(engine, row, "always", firing=2, approved=True, always=True)
    done = await engine.finished(row.id)
    assert (done.status, done.outputs) == (Status.COMPLETED, [("o", 5)])
    assert await engine.value("SELECT count(*) FROM reviews") == 1


async def test_a_timer_holds_no_worker_and_wakes_the_run(engine: Engine) -> None:
    row = await engine.at_rest(plan_of({"wait": ("timer", {"seconds": 1.6})}))
    assert row.status is Status.WAITING
    assert row.wake_at is not None
    assert engine.worker.roots == {}
    done = await engine.finished(row.id)
    assert done.status is Status.COMPLETED
    assert engine.calls.nodes() == ["wait"]


async def test_a_review_wins_over_a_timer_and_does_not_stop_it(engine: Engine) -> None:
    row = await engine.at_rest(plan_of({"wait": ("timer", {"seconds": 1.6}), "ask": "review"}))
    assert row.status is Status.REVIEW
    assert row.wake_at is not None
    await until(lambda: engine.calls.nodes() == ["wait"])
    row = await engine.finished(row.id, resting=True)
    assert row.status is Status.REVIEW
    assert row.wake_at is None
    await decide(engine, row, "d", firing=2)
    assert (await engine.finished(row.id)).status is Status.COMPLETED


async def test_an_event_ends_a_wait_before_its_time(engine: Engine) -> None:
    row = await engine.at_rest(plan_of({"wait": ("timer", {"seconds": 3_600.0})}))
    await engine.worker.store.tell(LOCAL_WORKSPACE, row.id, "event", "e1", firing=1, payload={"data": 1})
    assert (await engine.finished(row.id)).status is Status.COMPLETED


async def test_stop_reaches_everything_that_runs(engine: Engine) -> None:
    engine.agents.plans["child"] = plan_of({"in": "input", "work": "gated"}, ["in > work"], id="child")
    nodes: dict[str, Any] = {f"n{i}": "gated" for i in range(40)}
    plan = plan_of({**nodes, "subs": ("agents", {"graph_id": "child", "count": 10})})
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: sum(engine.calls.running.values()) == 50)
    await engine.worker.store.tell(LOCAL_WORKSPACE, id, "stop", "stop", payload={"reason": "Enough."})
    row = await engine.finished(id)
    assert (row.status, row.error) == (Status.TERMINATED, "Enough.")
    assert {child.status for child in await engine.children(row)} == {Status.TERMINATED}
    await until(lambda: engine.calls.cancelled == 50)
    with pytest.raises(Conflict):
        await engine.worker.store.tell(LOCAL_WORKSPACE, id, "stop", "again")


@pytest.mark.parametrize("plan", [ASK, plan_of({"wait": ("timer", {"seconds": 3_600.0})})], ids=["review", "timer"])
async def test_what_waits_can_be_stopped(engine: Engine, plan: Any) -> None:
    row = await engine.at_rest(plan)
    await engine.worker.store.tell(LOCAL_WORKSPACE, row.id, "stop", "stop")
    assert (await engine.finished(row.id)).status is Status.TERMINATED


async def test_what_is_queued_can_be_stopped_before_it_starts(idle: Engine) -> None:
    worker = await idle.start(capacity=0)
    id = await worker.submit(LOCAL_WORKSPACE, chain("effect"), {})
    await worker.store.tell(LOCAL_WORKSPACE, id, "stop", "stop")
    await idle.start()
    assert (await idle.finished(id)).status is Status.TERMINATED
    assert idle.calls.log == []


async def test_nobody_can_tell_another_workspaces_run_anything(engine: Engine) -> None:
    row = await engine.at_rest(ASK)
    with pytest.raises(NotFound):
        await engine.worker.store.tell(WorkspaceId(uuid7()), row.id, "stop", "stop")
    with pytest.raises(NotFound):
        await engine.worker.store.execution(WorkspaceId(uuid7()), row.id)
    with pytest.raises(NotFound):
        await engine.worker.store.tell(LOCAL_WORKSPACE, ExecutionId(uuid7()), "stop", "stop")


# --- tools ---


async def test_a_block_calls_its_tools(engine: Engine) -> None:
    plan = plan_of(
        {"ai": ("tool_user", {"value": 5}), "add": "pure", "do": "effect", "out": ("output", {"name": "o"})},
        ["ai.tools > add.value", "ai.tools > do.value", "ai > out.value"],
    )
    row = await engine.run(plan)
    assert row.status is Status.COMPLETED
    assert row.outputs == [("o", [["value", 6]]), ("o", [["value", 5]])]
    assert [record[0] for record in await engine.records(row)].count("tool") == 2


async def test_a_tool_that_fails_tells_its_caller(engine: Engine) -> None:
    plan = plan_of(
        {"ai": ("tool_user", {"value": 5}), "bad": "failing", "out": ("output", {"name": "o"})},
        ["ai.tools > bad.value", "ai > out.value"],
    )
    row = await engine.run(plan)
    assert (row.status, row.outputs) == (Status.COMPLETED, [("o", [["error", "It broke."]])])


async def test_a_tool_may_ask_a_person(engine: Engine) -> None:
    plan = plan_of(
        {"ai": ("tool_user", {"value": 5}), "ask": "review", "out": ("output", {"name": "o"})},
        ["ai.tools > ask.value", "ai > out.value"],
    )
    row = await engine.at_rest(plan)
    assert row.status is Status.REVIEW
    assert engine.worker.roots == {}
    await decide(engine, row, "d", firing=2, approved=True)
    done = await engine.finished(row.id)
    assert (done.status, done.outputs) == (Status.COMPLETED, [("o", [["value", 5]])])
    assert engine.calls.nodes().count("ask") == 1


async def test_a_run_does_not_rest_while_a_tools_caller_can_go_on(engine: Engine) -> None:
    plan = plan_of(
        {"ai": ("tool_user", {"value": 5}), "do": "effect", "then": "gated", "ask": "review"},
        ["ai.tools > do.value", "ai > then"],
    )
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["then"])
    assert engine.calls.nodes().count("ai") == 1, "the caller was cut off and began again"
    engine.calls.gate.set()
    assert (await engine.finished(id, resting=True)).status is Status.REVIEW
