"""How many runs are at work at once, of an agent and of a workspace; whose turn it is; and that nobody spins."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Engine, chain, plan_of, running_engine, until
from tests.engine.test_database import make_workspace
from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, WorkerId, WorkspaceId, uuid7
from treadle.engine.ports import AtOnce
from treadle.engine.rerun import prepare_rerun
from treadle.engine.worker import Worker
from treadle.kernel.plan import Plan
from treadle.kernel.records import FORMAT
from treadle.kernel.states import Status

ONE, OTHER = (plan_of({"n0": "gated"}, id=name) for name in ("one", "other"))
CLAIM = "SELECT id, workspace_id, graph_id FROM executions_claim_v2($1, $2, $3, $4, $5, $6::smallint)"
QUEUED = "SELECT count(*) FROM executions WHERE status = 'QUEUED'"
RUNNING = "SELECT count(*) FROM executions WHERE status = 'RUNNING'"


async def queue(worker: Worker, plan: Plan, workspace: WorkspaceId = LOCAL_WORKSPACE) -> ExecutionId:
    return await worker.store.enqueue(ExecutionId(uuid7()), workspace, plan, {})


async def submit(worker: Worker, plan: Plan) -> ExecutionId:
    return await worker.submit(LOCAL_WORKSPACE, plan, {})


async def enter(connection: asyncpg.Connection) -> WorkerId:
    """A worker that only claims."""
    id = WorkerId(uuid7())
    await connection.execute("INSERT INTO workers (id, name, expires_at) VALUES ($1, 'x:1:1', 'infinity')", id)
    return id


async def add_queued(engine: Engine, plan: Plan, count: int, workspace: WorkspaceId = LOCAL_WORKSPACE) -> None:
    """Queue very many runs."""
    await engine.connection.execute(
        "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format)"
        " SELECT i, i, $1, $2, 1, $3, 'QUEUED', 1 FROM"
        " (SELECT gen_random_uuid() AS i FROM generate_series(1, $4)) AS made",
        workspace,
        plan.graph_id,
        plan.digest,
        count,
    )


# --- limits ---


@pytest.mark.parametrize("start", [submit, queue])
@pytest.mark.parametrize("at_once", [AtOnce(of_agent=3), AtOnce(of_workspace=3)])
async def test_what_is_over_a_limit_waits_and_has_its_turn(idle: Engine, start: Any, at_once: AtOnce) -> None:
    worker = await idle.start(at_once=at_once)
    ids = [await start(worker, ONE) for _ in range(8)]
    await until(lambda: idle.calls.running["n0"] == 3)
    assert await idle.value(QUEUED) == 5
    idle.calls.gate.set()
    for id in ids:
        assert (await idle.finished(id)).status is Status.COMPLETED
    assert idle.calls.most["n0"] == 3


async def test_one_agent_at_its_limit_does_not_keep_out_another(idle: Engine) -> None:
    worker = await idle.start(at_once=AtOnce(of_agent=2))
    for _ in range(4):
        await submit(worker, ONE)
    await until(lambda: idle.calls.running["n0"] == 2)
    ids = [await submit(worker, OTHER), await queue(worker, OTHER)]
    await until(lambda: idle.calls.running["n0"] == 4)
    assert set(ids) <= set(worker.roots)


async def test_an_agents_limit_is_each_workspaces_own(idle: Engine) -> None:
    other = await make_workspace(idle)
    worker = await idle.start(at_once=AtOnce(of_agent=1))
    for workspace in (LOCAL_WORKSPACE, other):
        for _ in range(2):
            await queue(worker, ONE, workspace)
    await until(lambda: idle.calls.running["n0"] == 2)
    rows = await idle.connection.fetch("SELECT workspace_id FROM executions WHERE status = 'RUNNING'")
    assert {row["workspace_id"] for row in rows} == {LOCAL_WORKSPACE, other}


async def test_limits_count_over_workers_however_runs_are_started(idle: Engine) -> None:
    workers = [await idle.start(at_once=AtOnce(of_agent=4)) for _ in range(3)]
    starts = [start(worker, ONE) for worker in workers for start in (submit, queue) for _ in range(12)]
    gathering = asyncio.gather(*starts)
    await until(lambda: idle.calls.running["n0"] == 4)
    ids = await gathering
    idle.calls.gate.set()
    for id in ids:
        assert (await idle.finished(id)).status is Status.COMPLETED
    assert idle.calls.most["n0"] == 4


async def test_a_run_that_waits_for_a_person_is_not_counted(idle: Engine) -> None:
    ask = plan_of({"ask": "review"}, id="ask")
    worker = await idle.start(at_once=AtOnce(of_agent=1))
    ids = [await submit(worker, ask) for _ in range(3)]
    for id in ids:
        assert (await idle.finished(id, resting=True)).status is Status.REVIEW


async def test_a_run_over_the_limit_can_be_stopped(idle: Engine) -> None:
    worker = await idle.start(at_once=AtOnce(of_agent=1))
    await submit(worker, ONE)
    waiting = [await submit(worker, ONE) for _ in range(3)]
    await until(lambda: idle.calls.running["n0"] == 1)
    await worker.store.tell(LOCAL_WORKSPACE, waiting[1], "stop", "stop")
    assert (await idle.finished(waiting[1])).status is Status.TERMINATED
    assert await idle.value(QUEUED) == 2
    assert len(idle.calls.log) == 1


async def test_stops_that_nobody_will_fold_are_cleared_away(idle: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.engine.worker.SWEEP_SECONDS", 0.05)
    await idle.start()
    row = await idle.run(chain("echo"))
    await idle.connection.execute(
        "INSERT INTO inbox (root_id, execution_id, workspace_id, kind, idempotency_key)"
        " VALUES ($1, $1, $2, 'stop', '')",
        row.id,
        LOCAL_WORKSPACE,
    )
    await until(lambda: idle.value("SELECT folded_at IS NOT NULL FROM inbox"))


# --- re-runs ---


@pytest.mark.parametrize("capacity", [0, 5])
async def test_a_rerun_over_the_limit_is_queued_with_all_that_it_keeps(idle: Engine, capacity: int) -> None:
    plan = plan_of(
        {"a": ("effect", {"value": "x" * 200_000}), "b": "gated", "out": ("output", {"name": "o"})},
        ["a > b", "b > out.value"],
        id="one",
    )
    first = await idle.start()
    idle.calls.gate.set()
    row = await idle.run(plan)
    records = await idle.records(row)
    idle.calls.gate.clear()
    await first.close()
    idle.workers.remove(first)
    worker = await idle.start(capacity=capacity, at_once=AtOnce(of_agent=1))
    await submit(worker, ONE)
    idle.calls.log.clear()
    prepared = prepare_rerun(plan, records, [2], earlier=row.id, now_ms=int(time.time() * 1000))
    id = await worker.submit(LOCAL_WORKSPACE, plan, {}, rerun=(row.id, prepared.records))
    waiting = await worker.store.execution(LOCAL_WORKSPACE, id)
    assert (waiting.status, waiting.rerun_of, waiting.last_seq) == (Status.QUEUED, row.id, 3)
    idle.calls.gate.set()
    await idle.start()
    again = await idle.finished(id)
    assert (again.status, again.outputs, again.rerun_of) == (Status.COMPLETED, row.outputs, row.id)
    assert "a" not in idle.calls.nodes()
    assert again.last_seq == len(await idle.records(again))


# --- turns ---


async def test_a_new_run_does_not_overtake_those_that_wait(idle: Engine) -> None:
    """The database decides: when nothing runs and two wait, there is one place of three for a new one."""
    worker = await idle.start(capacity=0)
    for _ in range(2):
        await queue(worker, ONE)
    created = [{"workspace_id": str(LOCAL_WORKSPACE), "graph_id": "one", "id": number} for number in range(3)]
    admitted = json.loads(await idle.value("SELECT executions_admit_v1($1, 1000, 3)", json.dumps(created)))
    assert [each["id"] for each in admitted] == [0]


async def test_one_persons_thousands_do_not_delay_anothers_one(idle: Engine) -> None:
    other = await make_workspace(idle)
    worker = await idle.start(capacity=0)
    await add_queued(idle, ONE, 2_000)
    lone = await queue(worker, ONE, other)
    taken = await idle.connection.fetch(CLAIM, worker.id, 10, 25_000, 25_000, [10], FORMAT)
    assert len(taken) == 10
    assert lone in {row["id"] for row in taken}


async def test_ten_thousand_runs_of_an_agent_at_its_limit_cost_the_others_nothing(idle: Engine) -> None:
    worker = await idle.start(capacity=0)
    await add_queued(idle, ONE, 10_000)
    first = await enter(idle.connection)
    assert len(await idle.connection.fetch(CLAIM, first, 50, 25_000, 50, [50], FORMAT)) == 50
    lone = await queue(worker, OTHER)
    rows, read = await counted(idle, CLAIM, first, 200, 25_000, 50, [200], FORMAT)
    assert [row["id"] for row in rows] == [lone]
    assert read < 2_000, "the long line was read"


async def counted(engine: Engine, query: str, *arguments: Any) -> tuple[list[asyncpg.Record], int]:
    """The rows of a query, and how many rows and index entries of executions were read for it."""
    reads = (
        "SELECT sum(seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables WHERE relname = 'executions'"
    )
    async with engine.connection.transaction():
        before = await engine.value(reads)
        rows = await engine.connection.fetch(query, *arguments)
        return rows, await engine.value(reads) - before


async def test_nobody_spins_while_runs_wait(idle: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = 0
    claim = Worker._claim

    async def noted(self: Worker) -> int:
        nonlocal claims
        claims += 1
        return await claim(self)

    monkeypatch.setattr(Worker, "_claim", noted)
    monkeypatch.setattr("treadle.engine.worker.SWEEP_SECONDS", 0.2)
    worker = await idle.start(at_once=AtOnce(of_agent=3))
    for _ in range(7):
        await queue(worker, ONE)
    await until(lambda: idle.calls.running["n0"] == 3)
    before = claims
    await asyncio.sleep(1)
    assert claims - before < 12


async def test_a_place_that_becomes_free_is_taken_without_waiting_for_the_sweeper(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle.engine.worker.SWEEP_SECONDS", 3_600.0)
    worker = await idle.start(at_once=AtOnce(of_agent=1))
    idle.calls.gate.set()
    ids = [await submit(worker, ONE) for _ in range(30)]
    for id in ids:
        assert (await idle.finished(id)).status is Status.COMPLETED
    assert idle.calls.most["n0"] == 1


# --- at the same moment ---


async def test_two_workers_cannot_take_the_last_place_both(idle: Engine) -> None:
    """While one worker's commit is under way, another one that may reach the limit waits for it."""
    worker = await idle.start(capacity=0)
    await add_queued(idle, ONE, 5)
    second = await asyncpg.connect(idle.urls.engine)
    workers = [await enter(idle.connection), await enter(idle.connection)]
    room = "SELECT executions_room_v1($1, 'two', 1, 1000, 1)"
    async with second.transaction():
        assert await second.fetchval(room, LOCAL_WORKSPACE) == 1
        claiming = asyncio.create_task(worker.pool.fetch(CLAIM, workers[0], 1, 1000, 1, [1], FORMAT))
        asking = asyncio.create_task(worker.pool.fetchval(room, LOCAL_WORKSPACE))
        done, _ = await asyncio.wait([claiming, asking], timeout=0.3)
        assert not done, "they did not wait"
        await second.execute(
            "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format,"
            " worker_id) VALUES ($1, $1, $2, 'two', 1, '', 'RUNNING', 1, $3)",
            uuid7(),
            LOCAL_WORKSPACE,
            workers[1],
        )
    assert await asking == 0
    assert len(await claiming) == 1
    await second.close()


async def test_far_below_the_limits_nobody_waits_for_anybody(idle: Engine) -> None:
    worker = await idle.start(capacity=0)
    second = await asyncpg.connect(idle.urls.engine)
    room = "SELECT executions_room_v1($1, 'one', 3, 1000, 1000)"
    async with second.transaction():
        await second.execute("SELECT executions_lock_v1($1)", LOCAL_WORKSPACE)
        assert await asyncio.wait_for(worker.pool.fetchval(room, LOCAL_WORKSPACE), 20) == 3
    await second.close()


# --- all of it ---

PLACES = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.booleans()), max_size=40)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES, st.integers(1, 6), st.integers(1, 4), st.integers(1, 8))
async def test_claims_keep_the_limits_take_turns_and_leave_nothing_that_may_run(
    database: DatabaseUrls,
    home: Path,
    places: list[tuple[int, str, bool]],
    of_workspace: int,
    of_agent: int,
    at_a_time: int,
) -> None:
    """``places``: (workspace, agent, whether it is at work already), in the order of queueing."""
    async with running_engine(database, home) as engine:
        await engine.connection.execute("DELETE FROM executions")
        await engine.connection.execute("DELETE FROM workers")
        worker, work = await enter(engine.connection), await workspaces(engine)
        for number, (place, agent, running) in enumerate(places):
            await engine.connection.execute(
                "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status,"
                " format, worker_id, queued_at)"
                " VALUES ($1, $1, $2, $3, 1, '', $4, 1, $5, now() + make_interval(secs => $6))",
                uuid7(),
                work[place],
                agent,
                "RUNNING" if running else "QUEUED",
                worker if running else None,
                float(number),
            )
        held = Counter((work[place], agent) for place, agent, running in places if running)
        left = Counter((work[place], agent) for place, agent, running in places if not running)
        while rows := await engine.connection.fetch(
            CLAIM, worker, at_a_time, of_workspace, of_agent, [at_a_time], FORMAT
        ):
            taken = Counter((row["workspace_id"], row["graph_id"]) for row in rows)
            check_turns(taken, held, left, of_workspace, of_agent)
            held += taken
            left -= taken
            assert len(rows) <= at_a_time
            assert all(held[each] <= of_agent for each in taken)
        by_workspace = per_workspace(held)
        for line, count in left.items():
            assert not count or held[line] >= of_agent or by_workspace[line[0]] >= of_workspace


def per_workspace(held: Counter[tuple[WorkspaceId, str]]) -> Counter[WorkspaceId]:
    counts: Counter[WorkspaceId] = Counter()
    for (workspace, _), count in held.items():
        counts[workspace] += count
    return counts


def check_turns(
    taken: Counter[tuple[WorkspaceId, str]],
    held: Counter[tuple[WorkspaceId, str]],
    left: Counter[tuple[WorkspaceId, str]],
    of_workspace: int,
    of_agent: int,
) -> None:
    """No workspace got two more than another one that could have had more."""
    got, before = per_workspace(taken), per_workspace(held)
    could: dict[WorkspaceId, int] = defaultdict(int)
    for (workspace, agent), count in left.items():
        could[workspace] += min(count, max(0, of_agent - held[workspace, agent]))
    for workspace, most in could.items():
        most = min(most, max(0, of_workspace - before[workspace]))
        assert got[workspace] <= most
        if got[workspace] < most:
            assert max(got.values()) <= got[workspace] + 1


async def workspaces(engine: Engine) -> list[WorkspaceId]:
    rows = await engine.connection.fetch("SELECT id FROM workspaces ORDER BY id")
    while len(rows) < 3:
        await make_workspace(engine)
        rows = await engine.connection.fetch("SELECT id FROM workspaces ORDER BY id")
    return [WorkspaceId(row["id"]) for row in rows]
