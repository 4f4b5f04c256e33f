"""The budget of time: it counts while a worker has the run, over crashes and restarts, and at no other time."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Engine, chain, plan_of, running_engine, until
from tests.engine.test_database import make
from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, uuid7
from treadle.engine.ports import Limits
from treadle.kernel.states import COUNTED, MOVES, Status

ASK = plan_of({"ask": ("review", {"value": 1})})
MINUTE = 60.0


async def pass_time(engine: Engine, id: ExecutionId, seconds: float) -> None:
    """As if the run had stood as it stands for so much longer."""
    await engine.connection.execute(
        "UPDATE executions SET active_since = active_since - make_interval(secs => $2) WHERE id = $1", id, seconds
    )


async def active_ms(engine: Engine, id: ExecutionId) -> int:
    return int(await engine.value("SELECT active_ms FROM executions WHERE id = $1", id))


async def begin_again(engine: Engine) -> None:
    """The worker is killed, and another one takes over."""
    await engine.crash()
    await engine.start()


async def test_time_counts_over_claims_and_ends_the_run(idle: Engine) -> None:
    idle.limits = Limits(wall_seconds=2.5 * MINUTE)
    worker = await idle.start()
    id = await worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    for claim in (1, 2):
        await until(lambda: idle.calls.running["n0"] == 1 and idle.worker.roots)
        await pass_time(idle, id, MINUTE)
        await begin_again(idle)
        await until(lambda: id in idle.worker.roots)
        assert claim * 60_000 <= idle.worker.roots[id].spent.earlier_ms < claim * 60_000 + 60_000
    await pass_time(idle, id, MINUTE)
    await begin_again(idle)
    row = await idle.finished(id)
    assert row.status is Status.FAILED
    assert "150 seconds at work" in str(row.error)


async def test_a_restart_counts_as_a_crash_does(idle: Engine) -> None:
    worker = await idle.start()
    id = await worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    await until(lambda: idle.calls.running["n0"])
    await pass_time(idle, id, MINUTE)
    idle.workers.remove(worker)
    await worker.close()
    assert await active_ms(idle, id) >= 60_000


@pytest.mark.parametrize("status", [Status.REVIEW, Status.WAITING, Status.QUEUED])
async def test_waiting_does_not_count(idle: Engine, status: Status) -> None:
    idle.limits = Limits(wall_seconds=MINUTE)
    plan = {Status.REVIEW: ASK, Status.WAITING: plan_of({"wait": ("timer", {"seconds": 3_600.0})})}.get(status)
    worker = await idle.start(capacity=0 if plan is None else 10)
    id = await worker.submit(LOCAL_WORKSPACE, plan or chain("effect"), {})
    await until(lambda: idle.value("SELECT status::text = $2 FROM executions WHERE id = $1", id, status.value))
    before = await active_ms(idle, id)
    await pass_time(idle, id, 24 * 60 * MINUTE)
    if status is Status.QUEUED:
        await idle.start()
    else:
        kind = "decision" if status is Status.REVIEW else "event"
        await worker.store.tell(LOCAL_WORKSPACE, id, kind, "k", firing=1, payload={})
    assert (await idle.finished(id)).status is Status.COMPLETED
    assert before <= await active_ms(idle, id) < 60_000


async def test_the_time_in_which_a_dead_worker_was_not_missed_does_not_count(idle: Engine) -> None:
    """The machine was off for a night: the lease ran out soon after the last sign of life."""
    worker = await idle.start()
    id = await worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    await until(lambda: idle.calls.running["n0"])
    await idle.crash()
    night = "UPDATE workers SET expires_at = clock_timestamp() - interval '8 hours' WHERE id = $1"
    await idle.connection.execute(night, worker.id)
    await pass_time(idle, id, 8 * 60 * MINUTE + MINUTE)
    await idle.start()
    await until(lambda: id in idle.worker.roots)
    assert 60_000 <= idle.worker.roots[id].spent.earlier_ms < 2 * 60_000


async def test_a_worker_of_the_release_before_counts_too(idle: Engine) -> None:
    """Its functions know nothing of time: the guard of the states does it."""
    worker = uuid7()
    await idle.connection.execute("INSERT INTO workers (id, name, expires_at) VALUES ($1, 'x:1:1', 'infinity')", worker)
    id = ExecutionId(uuid7())
    started = await idle.start(capacity=0)
    await started.store.enqueue(id, LOCAL_WORKSPACE, chain("effect"), {})
    await pass_time(idle, id, 60 * MINUTE)
    claimed = await idle.connection.fetch("SELECT id FROM executions_claim_v1($1, 1, 10, 9::smallint)", worker)
    assert [row["id"] for row in claimed] == [id]
    await pass_time(idle, id, MINUTE)
    await idle.connection.execute("UPDATE workers SET expires_at = '-infinity' WHERE id = $1", worker)
    await idle.connection.execute("SELECT workers_bury_v1()")
    assert 60_000 <= await active_ms(idle, id) < 120_000


# --- whatever happens ---


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_only_states_that_count_are_counted(database: DatabaseUrls, home: Path, data: st.DataObject) -> None:
    async with running_engine(database, home) as engine:
        began = time.monotonic()
        status = Status.QUEUED
        id = await make(engine.connection, status)
        expected = 0
        for _ in range(data.draw(st.integers(1, 8))):
            seconds = data.draw(st.integers(0, 1_000))
            await pass_time(engine, id, float(seconds))
            following = sorted(MOVES[status])
            if not following:
                break
            expected += seconds * 1000 * (status in COUNTED)  # by the move out of it
            status = data.draw(st.sampled_from(following))
            await engine.connection.execute("UPDATE executions SET status = $2 WHERE id = $1", id, status.value)
        counted = await active_ms(engine, id)
        assert expected <= counted <= expected + (time.monotonic() - began) * 1000 + 1_000


async def test_the_time_is_enforced_while_nothing_happens(idle: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.engine.worker.SWEEP_SECONDS", 0.05)
    idle.limits = Limits(wall_seconds=0.3)
    worker = await idle.start()
    id = await worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    row = await idle.finished(id)
    assert (row.status, "0.3 seconds at work" in str(row.error)) == (Status.FAILED, True)
