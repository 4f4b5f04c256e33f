"""From submitting a run to its result: records, commits, retries, limits, failures."""

import asyncio
from typing import Any

import pytest

from tests.engine.harness import Engine, chain, plan_of, until
from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, uuid7
from treadle.engine.ports import Limits
from treadle.engine.run import Asked
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.kernel.states import Status

QUICK = RetryPolicy(attempts=3, first_delay=0.01)


async def test_a_run_gives_its_outputs(engine: Engine) -> None:
    plan = plan_of(
        {"in": "input", "add": "pure", "do": "effect", "out": ("output", {"name": "sum"})},
        ["in > add", "add > do", "do > out.value"],
    )
    row = await engine.run(plan, {0: {"value": 41}})
    assert (row.status, row.outputs, row.firings, row.failed) == (Status.COMPLETED, [("sum", 42)], 4, 0)
    assert row.started_at is not None
    assert row.ended_at is not None
    assert row.last_seq == len(await engine.records(row))


async def test_the_records_of_a_run(engine: Engine) -> None:
    row = await engine.run(chain("pure", "effect", "read"))
    kinds = [(record[0], record[1]) for record in await engine.records(row)]
    begun = kinds.pop(0)
    assert begun[0] == "begin"
    assert kinds == [("end", 1), ("start", 2), ("end", 2), ("end", 3), ("close", "COMPLETED")]


async def test_an_end_and_the_next_start_share_a_commit(engine: Engine) -> None:
    await engine.run(chain("effect"))
    for length in (1, 10):
        plan = chain(*["effect"] * length)
        await engine.worker.store.save_plan(LOCAL_WORKSPACE, plan)
        before = engine.worker.journal.commits
        await engine.run(plan)
        assert engine.worker.journal.commits - before == length + 1


async def test_pure_firings_run_ahead_of_the_disk_and_effects_wait_for_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.run(chain("pure"))
    disk = asyncio.Event()
    write = engine.worker.journal._write

    async def slow(*arguments: Any) -> Any:
        await disk.wait()
        return await write(*arguments)

    monkeypatch.setattr(engine.worker.journal, "_write", slow)
    plan = chain("pure", "pure", "effect", "effect")
    engine.calls.log.clear()
    running = asyncio.create_task(engine.run(plan))
    await until(lambda: len(engine.calls.log) == 2)
    await asyncio.sleep(0.2)
    assert engine.calls.nodes() == ["pure", "pure"], "an effect ran before its start was durable"
    disk.set()
    assert (await running).status is Status.COMPLETED
    assert engine.calls.nodes() == ["pure", "pure", "n2", "n3"]


async def test_an_effect_sees_its_own_start_in_the_journal(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    note = engine.calls.note

    def looking(ctx: Any) -> None:
        note(ctx)
        seen.append(ctx.firing)

    monkeypatch.setattr(engine.calls, "note", looking)
    id = await engine.worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    await until(lambda: seen)
    durable = [record[0] for _, record in await engine.worker.store.records(id, id)]
    assert durable == ["begin", "start"]


async def test_a_passing_failure_is_tried_again(engine: Engine) -> None:
    engine.calls.failures["fail"] = 2
    plan = plan_of({"fail": ("failing", {"value": "later", "seconds": 0.0}, NodePolicy(retry=QUICK))})
    row = await engine.run(plan)
    assert row.status is Status.COMPLETED
    assert [attempt for *_, attempt in engine.calls.log] == [1, 2, 3]
    retries = [record for record in await engine.records(row) if record[0] == "retry"]
    assert [(record[2], record[5] - record[4]) for record in retries] == [(1, 10), (2, 20)]


@pytest.mark.parametrize(
    ("asked", "seconds"), [(0.05, 0.05), (1e12, 86_400.0), (float("inf"), 86_400.0), (float("nan"), 0.01), (-5.0, 0.01)]
)
async def test_retry_after_is_obeyed_within_a_day(engine: Engine, asked: float, seconds: float) -> None:
    engine.calls.failures["fail"] = 1
    plan = plan_of({"fail": ("failing", {"value": "later", "seconds": asked}, NodePolicy(retry=QUICK))})
    row = await engine.at_rest(plan)
    (retry,) = [record for record in await engine.records(row) if record[0] == "retry"]
    assert retry[5] - retry[4] == seconds * 1000
    assert row.status is (Status.WAITING if seconds > 1 else Status.COMPLETED)


async def test_other_failures_are_tried_again_only_if_the_node_says_so(engine: Engine) -> None:
    engine.calls.failures.update(once=1, always=1)
    policies = {"once": NodePolicy(retry=QUICK), "always": NodePolicy(retry=RetryPolicy(3, 0.01, 1.0, "any"))}
    rows = {name: await engine.run(plan_of({name: ("failing", {}, policy)})) for name, policy in policies.items()}
    assert rows["once"].status is Status.FAILED
    assert rows["always"].status is Status.COMPLETED


async def test_a_failure_names_its_node_and_the_rest_still_runs(engine: Engine) -> None:
    plan = plan_of(
        {"bad": "failing", "good": ("effect", {"value": 1}), "out": ("output", {"name": "o"})}, ["good > out.value"]
    )
    row = await engine.run(plan)
    assert row.status is Status.FAILED
    assert row.error is not None
    assert row.error.startswith("Step 1, Failing: ")
    assert "It broke." in row.error
    assert row.failures == [{"firing": 1, "node": "bad", "message": "It broke."}]
    assert row.outputs == [("o", 1)]
    assert (row.nodes["bad"][:2], row.nodes["good"][:2]) == ([1, 1], [1, 0])


async def test_a_time_limit_ends_the_attempt(engine: Engine) -> None:
    plan = plan_of({"slow": ("sleeping", {"seconds": 60.0}, NodePolicy(timeout=0.05))})
    row = await engine.run(plan)
    assert row.status is Status.FAILED
    assert "limit of 0.05 seconds" in str(row.error)


async def test_a_fallback_value_takes_the_place_of_the_failure(engine: Engine) -> None:
    policy = NodePolicy(on_error="fallback", fallback=(("value", "spare"),))
    plan = plan_of({"bad": ("failing", {}, policy), "out": ("output", {"name": "o"})}, ["bad > out.value"])
    row = await engine.run(plan)
    assert (row.status, row.outputs) == (Status.COMPLETED, [("o", "spare")])


@pytest.mark.parametrize(("on_error", "status"), [("branch", Status.COMPLETED), ("fail", Status.FAILED)])
async def test_an_error_link_is_followed_unless_the_node_is_to_fail(
    engine: Engine, on_error: Any, status: Status
) -> None:
    plan = plan_of(
        {"bad": ("failing", {}, NodePolicy(on_error=on_error)), "out": ("output", {"name": "o"})},
        ["bad.error > out.value"],
    )
    row = await engine.run(plan)
    assert row.status is status
    assert row.outputs == ([("o", "It broke.")] if on_error == "branch" else [])


async def test_a_message_that_the_database_does_not_take_is_cleaned(engine: Engine) -> None:
    row = await engine.run(plan_of({"odd": "odd_error"}))
    assert row.status is Status.FAILED
    assert "nul \ufffd and half a pair ?" in str(row.error)


async def test_a_block_that_is_not_there_or_was_cancelled_from_inside_fails_its_node(engine: Engine) -> None:
    row = await engine.run(plan_of({"gone": "no-such-block"}))
    assert row.status is Status.FAILED
    assert "no-such-block" in str(row.error)


async def test_firings_of_a_node_at_once_are_capped(engine: Engine) -> None:
    plan = plan_of({"src": ("items", {"value": 10}), "work": ("gated", {}, NodePolicy(concurrency=3))}, ["src > work"])
    running = asyncio.create_task(engine.run(plan))
    await until(lambda: engine.calls.running["work"] == 3)
    await asyncio.sleep(0.1)
    assert engine.calls.running["work"] == 3
    engine.calls.gate.set()
    assert (await running).firings == 11
    assert engine.calls.most["work"] == 3


async def test_firings_of_a_run_at_once_are_capped(idle: Engine) -> None:
    idle.limits = Limits(concurrent_firings=2)
    await idle.start()
    plan = plan_of({"src": ("items", {"value": 6}), "work": "gated"}, ["src > work"])
    running = asyncio.create_task(idle.run(plan))
    await until(lambda: idle.calls.running["work"] == 2)
    await asyncio.sleep(0.1)
    idle.calls.gate.set()
    assert (await running).status is Status.COMPLETED
    assert idle.calls.most["work"] == 2


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(firings=50), "50 firings"),
        (Limits(stored_bytes=50_000), "50,000 stored bytes"),
        (Limits(wall_seconds=0.3), "0.3 seconds"),
    ],
)
async def test_a_passed_budget_ends_the_run_and_is_named(idle: Engine, limits: Limits, words: str) -> None:
    idle.limits = limits
    await idle.start()
    looping = plan_of({"loop": "for_ever", "start": ("echo", {"value": "x"})}, ["start > loop", "loop > loop"])
    row = await idle.run(looping)
    assert row.status is Status.FAILED
    assert words in str(row.error)


async def test_passed_credits_end_the_run(idle: Engine) -> None:
    idle.limits = Limits(credits=10)
    await idle.start()
    row = await idle.run(chain(*["paid"] * 8))
    assert row.status is Status.FAILED
    assert "10 credits" in str(row.error)
    assert row.cost == 12
    assert await idle.value("SELECT sum(amount) FROM charges WHERE kind = 'settle'") == 12
    assert await idle.value("SELECT count(*) FROM charges WHERE kind = 'hold'") in (4, 5)


async def test_large_values_count_as_stored_bytes(idle: Engine) -> None:
    idle.limits = Limits(stored_bytes=150_000)
    await idle.start()
    row = await idle.run(chain("echo", "effect", "effect", first="x" * 200_000))
    assert row.status is Status.FAILED
    assert "150,000 stored bytes" in str(row.error)


async def test_left_over_values_are_warned_about(engine: Engine) -> None:
    plan = plan_of(
        {"a": ("items", {"value": 3}), "b": ("items", {"value": 1}), "join": "join"}, ["a > join.a", "b > join.b"]
    )
    row = await engine.run(plan)
    assert row.status is Status.COMPLETED
    assert row.warnings == [{"node": "join", "waits_for": ["b"], "left_over": 2}]


async def test_the_same_key_gives_one_run(engine: Engine) -> None:
    plan = chain("effect", "effect")
    ids = await asyncio.gather(
        *(engine.worker.submit(LOCAL_WORKSPACE, plan, {}, asked=Asked("once", b"it")) for _ in range(20))
    )
    assert len(set(ids)) == 1
    assert (await engine.finished(ids[0])).status is Status.COMPLETED
    assert engine.calls.nodes() == ["n0", "n1"]
    assert await engine.value("SELECT count(*) FROM executions") == 1
    assert await engine.worker.submit(LOCAL_WORKSPACE, plan, {}, asked=Asked("once", b"it")) == ids[0]


async def test_queueing_the_same_execution_again_changes_nothing(engine: Engine) -> None:
    plan, id = chain("effect"), ExecutionId(uuid7())
    for _ in range(2):
        assert await engine.worker.store.enqueue(id, LOCAL_WORKSPACE, plan, {}) == id
        await engine.finished(id)
    assert len(engine.calls.log) == 1


async def test_an_unknown_execution_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound):
        await engine.worker.store.execution(LOCAL_WORKSPACE, ExecutionId(uuid7()))
