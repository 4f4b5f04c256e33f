"""Deaths of workers are counted for the runs they had, forgotten when those get on, and end those that do not."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from tests.engine.harness import Engine, chain, plan_of, sub_agent, until
from tests.engine.test_at_once import CLAIM, add_queued, enter
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, WorkerId, uuid7
from treadle.engine.view import History
from treadle.kernel.records import FORMAT
from treadle.kernel.states import Status

BURY = "SELECT workers_bury_v3($1, $2, $3, $4, $5, 'They died.')"
PAUSE = "treadle.engine.company.PAUSE_SECONDS"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs come back at once; ``pause`` of a test's own overrides it."""
    monkeypatch.setattr(PAUSE, 0.0)


async def deaths(engine: Engine, id: ExecutionId) -> int:
    return int(await engine.value("SELECT deaths FROM executions WHERE id = $1", id))


async def taken_up(engine: Engine, id: ExecutionId) -> None:
    await until(lambda: id in engine.worker.roots and engine.calls.running["n0"])


async def die_and_begin_again(engine: Engine, id: ExecutionId, **options: Any) -> None:
    await taken_up(engine, id)
    await engine.crash()
    await until(lambda: not engine.calls.running["n0"])
    await engine.start(**options)


async def test_a_run_of_which_nothing_gets_done_ends_with_the_sixth_worker(engine: Engine) -> None:
    id = await engine.worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    for count in range(1, 6):
        await die_and_begin_again(engine, id)
        await taken_up(engine, id)
        assert await deaths(engine, id) == count
    await die_and_begin_again(engine, id)
    row = await engine.finished(id)
    assert row.status is Status.FAILED
    assert "6 workers in a row died" in str(row.error)
    assert "TREADLE_DISABLED_BLOCKS" in str(row.error)
    assert row.epoch == 6
    records = await engine.records(row)
    assert [record[0] for record in records] == ["begin", *["start"] * 6, "stop", "close"]
    assert row.last_seq == len(records)
    (view,) = History(chain("gated"), lambda block: frozenset()).fold(records).finish()
    assert (view.status, view.ended_ms) == ("running", None), "it can be seen which step had begun"


async def test_how_many_may_die_is_a_setting(idle: Engine) -> None:
    await idle.start(most_deaths=3)
    id = await idle.worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    for _ in range(3):
        await die_and_begin_again(idle, id, most_deaths=3)
    assert "3 workers in a row" in str((await idle.finished(id)).error)


async def test_a_run_that_gets_on_starts_from_none(engine: Engine) -> None:
    steps = 8
    plan = plan_of({"src": ("items", {"value": steps}), "n0": "gated"}, ["src > n0"])
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    for _ in range(steps):
        for _ in range(3):
            await die_and_begin_again(engine, id)
        await taken_up(engine, id)
        assert await deaths(engine, id) == 3
        run = engine.worker.roots[id].main
        await until(partial(getattr, run, "tasks"))
        engine.worker.roots[id].note(run, next(iter(run.machine.firings.values())), "got something")
        await until(lambda: engine.value("SELECT deaths = 0 FROM executions WHERE id = $1", id))
        assert engine.worker.roots[id].deaths == 0
    engine.calls.gate.set()
    assert (await engine.finished(id)).status is Status.COMPLETED


async def test_sub_agents_end_with_their_run(engine: Engine) -> None:
    engine.agents.plans["child"] = plan_of({"in": "input", "n0": "gated"}, ["in > n0"], id="child")
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan_of({"sub": sub_agent("child", value=1)}), {})
    for _ in range(6):
        await die_and_begin_again(engine, id)
    row = await engine.finished(id)
    (child,) = await engine.children(row)
    assert (row.status, child.status) == (Status.FAILED, Status.FAILED)
    assert child.error == row.error
    for each in (row, child):
        assert (await engine.records(each))[-1][0] == "close"


async def test_workers_that_leave_or_lose_their_database_have_not_died(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await engine.worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    for _ in range(6):
        await taken_up(engine, id)
        worker = engine.workers.pop()
        await worker.close()
        await engine.start()
    await taken_up(engine, id)
    before = engine.worker.id
    engine.worker._broken()
    await until(lambda: engine.worker.id != before and id in engine.worker.roots)
    assert await deaths(engine, id) == 0


@pytest.mark.parametrize(
    ("expires", "dead", "lease", "counted"),
    [
        ("clock_timestamp() - interval '1 second'", False, 0.0, 1),
        ("pg_postmaster_start_time() - interval '1 second'", False, 0.0, 0),
        ("clock_timestamp() - interval '1 second'", False, 1e9, 0),
        ("'infinity'", True, 10.0, 1),
        ("'-infinity'", False, 10.0, 1),
    ],
    ids=["ran out", "ran out while the server was away", "not renewed since", "known to be dead", "given away"],
)
async def test_whose_fault_it_is(idle: Engine, expires: str, dead: bool, lease: float, counted: int) -> None:
    """A lease that could not be renewed because the database was away says nothing of its worker."""
    await add_queued(idle, chain("effect"), 1)
    worker = await enter(idle.connection)
    assert len(await idle.connection.fetch(CLAIM, worker, 1, 9, 9, [1], FORMAT)) == 1
    await idle.connection.execute(f"UPDATE workers SET expires_at = {expires} WHERE id = $1", worker)
    assert await idle.value(BURY, uuid7(), [worker] if dead else list[UUID](), lease, 5, []) == 1
    (row,) = await idle.connection.fetch("SELECT status::text, deaths, worker_id FROM executions")
    assert tuple(row) == ("QUEUED", counted, None)


async def test_nobody_buries_itself(idle: Engine) -> None:
    """A machine that slept has let its own worker's lease run out; it wakes up with all its runs."""
    worker = await enter(idle.connection)
    await idle.connection.execute("UPDATE workers SET expires_at = clock_timestamp() - interval '1 hour'")
    await idle.value(BURY, worker, list[UUID](), 10.0, 5, [])
    assert await idle.value("SELECT count(*) FROM workers") == 1
    await idle.value(BURY, uuid7(), list[UUID](), 10.0, 5, [])
    assert await idle.value("SELECT count(*) FROM workers") == 0


async def claim(engine: Engine, worker: WorkerId, company: list[int]) -> list[int]:
    """How often workers have died with those that are taken next."""
    taken = [row["id"] for row in await engine.connection.fetch(CLAIM, worker, 20, 99, 99, company, FORMAT)]
    rows = await engine.connection.fetch("SELECT deaths FROM executions WHERE id = ANY ($1) ORDER BY 1", taken)
    return [row["deaths"] for row in rows]


async def test_runs_that_have_died_often_come_first_and_do_not_hold_up_the_others_behind_them(idle: Engine) -> None:
    await idle.start(capacity=0)
    for deaths, count in ((4, 30), (2, 3), (1, 2), (0, 5)):
        await add_queued(idle, chain("effect"), count)
        await idle.connection.execute("UPDATE executions SET deaths = $1 WHERE deaths = 0", deaths)
    worker = await enter(idle.connection)
    assert await claim(idle, worker, [20, 20, 20, 20, 1]) == [4]
    assert await claim(idle, worker, [0, 0, 0, 20, 0]) == []
    assert await claim(idle, worker, [20, 20, 20, 20, 0]) == [2] * 3
    assert await claim(idle, worker, [20, 20, 20, 20, 0]) == [0] * 5 + [1] * 2
    assert await claim(idle, worker, [20, 20, 20, 20, 0]) == []
    assert await claim(idle, worker, [20, 20, 3]) == [4] * 3, "the setting was lowered: they count as the last"


async def test_a_run_over_its_agents_limit_holds_up_nobody(idle: Engine) -> None:
    await idle.start(capacity=0)
    await add_queued(idle, chain("effect"), 2)
    await idle.connection.execute("UPDATE executions SET deaths = 3")
    await add_queued(idle, plan_of({"n0": "effect"}, id="other"), 1)
    worker = await enter(idle.connection)
    for expected in (1, 1, 0):
        rows = await idle.connection.fetch(CLAIM, worker, 20, 99, 1, [20, 20, 20, 20, 1], FORMAT)
        assert len(rows) == expected
    assert await idle.value("SELECT count(*) FROM executions WHERE status = 'QUEUED' AND deaths = 3") == 1


async def test_a_run_pauses_after_its_third_death_and_says_until_when(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PAUSE, 3_600.0)
    id = await engine.worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    for _ in range(3):
        await die_and_begin_again(engine, id)
    row = await engine.worker.finished(LOCAL_WORKSPACE, id, resting=True)
    assert (row.status, row.deaths, row.epoch) == (Status.WAITING, 3, 3)
    assert row.wake_at is not None
    assert 3_500 < (row.wake_at - datetime.now(UTC)).total_seconds() <= 3_600
    await engine.connection.execute("UPDATE executions SET wake_at = now()")
    await taken_up(engine, id)
    engine.calls.gate.set()
    assert (await engine.finished(id)).status is Status.COMPLETED


@pytest.mark.parametrize("paused", [False, True])
async def test_a_run_that_pauses_can_be_stopped(engine: Engine, monkeypatch: pytest.MonkeyPatch, paused: bool) -> None:
    monkeypatch.setattr(PAUSE, 3_600.0)
    id = await engine.worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    for _ in range(2):
        await die_and_begin_again(engine, id)
    await taken_up(engine, id)
    await engine.crash()
    if paused:
        await engine.start()
        await engine.finished(id, resting=True)
        await engine.worker.close()
        engine.workers.clear()
    await engine.connection.fetchval("SELECT inbox_add_v1($1, $2, 'stop', NULL, '{}', 'stop')", LOCAL_WORKSPACE, id)
    await engine.start()
    row = await engine.finished(id)
    assert row.status is Status.TERMINATED


async def test_a_worker_takes_the_last_chances_one_by_one(idle: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.engine.worker.SWEEP_SECONDS", 3_600.0)
    worker = await idle.start(capacity=0)
    plan = plan_of({"n0": "gated"})
    ids = [await worker.submit(LOCAL_WORKSPACE, plan, {}) for _ in range(4)]
    await idle.connection.execute("UPDATE executions SET deaths = 5")
    others = [await worker.submit(LOCAL_WORKSPACE, chain("effect", "pure"), {}) for _ in range(10)]
    idle.workers.remove(worker)
    await worker.close()
    worker = await idle.start()
    await until(lambda: idle.calls.running["n0"])
    assert len(worker.roots) == 1
    idle.calls.gate.set()
    for id in (*ids, *others):
        assert (await idle.finished(id)).status is Status.COMPLETED
    assert idle.calls.most["n0"] == 1


async def test_the_others_are_not_held_up_by_a_last_chance_that_takes_long(idle: Engine) -> None:
    worker = await idle.start(capacity=0)
    doubted = await worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    await idle.connection.execute("UPDATE executions SET deaths = 5")
    others = [await worker.submit(LOCAL_WORKSPACE, chain("effect"), {}) for _ in range(10)]
    idle.workers.remove(worker)
    await worker.close()
    await idle.start()
    for id in others:
        assert (await idle.finished(id)).status is Status.COMPLETED
    idle.calls.gate.set()
    assert (await idle.finished(doubted)).status is Status.COMPLETED
