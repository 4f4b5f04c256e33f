"""What the database itself refuses, and how workers share it: states, roles, leases, epochs, fairness."""

import asyncio
from itertools import product
from typing import Any

import asyncpg
import pytest

from tests.engine.harness import Engine, chain, crash, plan_of, until
from treadle.base.database import SET_WORKSPACE
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, WorkspaceId, uuid7
from treadle.base.roles import API, AUTH, ENGINE, OWNER
from treadle.engine.journal import Journal
from treadle.engine.rows import charge_row
from treadle.kernel.records import FORMAT
from treadle.kernel.states import FINAL, MOVES, Status

NEW = (
    "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format)"
    " VALUES ($1, $1, $2, 'g', 1, '', $3, 1)"
)


async def make(connection: asyncpg.Connection, status: Status, workspace: WorkspaceId = LOCAL_WORKSPACE) -> ExecutionId:
    id = ExecutionId(uuid7())
    await connection.execute(NEW, id, workspace, status.value)
    return id


async def make_workspace(engine: Engine) -> WorkspaceId:
    workspace = WorkspaceId(uuid7())
    owner = await asyncpg.connect(engine.urls.owner)
    await owner.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'Another')", workspace)
    await owner.close()
    return workspace


async def test_every_move_between_states_is_judged_by_the_database(idle: Engine) -> None:
    allowed = []
    for source, target in product(Status, Status):
        id = await make(idle.connection, source)
        try:
            await idle.connection.execute("UPDATE executions SET status = $2 WHERE id = $1", id, target.value)
        except asyncpg.CheckViolationError:
            continue
        if source is not target:
            allowed.append((source, target))
    assert set(allowed) == {(source, target) for source, targets in MOVES.items() for target in targets}
    assert not any(source in FINAL for source, _ in allowed)


async def test_what_the_roles_may_not_do(idle: Engine) -> None:
    other = await make_workspace(idle)
    for workspace in (LOCAL_WORKSPACE, other):
        await make(idle.connection, Status.QUEUED, workspace)
    for statement in ("CREATE TABLE mine (id int)", "DROP TABLE journal", "ALTER TABLE executions DISABLE TRIGGER ALL"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await idle.connection.execute(statement)
    api = await asyncpg.connect(idle.urls.api)
    assert await api.fetchval("SELECT count(*) FROM executions") == 0
    async with api.transaction():
        await api.execute(SET_WORKSPACE, str(other))
        assert [row["workspace_id"] for row in await api.fetch("SELECT workspace_id FROM executions")] == [other]
    for statement in (
        "UPDATE executions SET status = 'RUNNING'",
        "DELETE FROM journal",
        "SELECT executions_wake_v1()",
        "SELECT * FROM workers",
        "SELECT * FROM journal_default",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(statement)
    await api.close()
    roles = await idle.connection.fetch("SELECT rolname, rolsuper FROM pg_roles WHERE rolname LIKE 'treadle%'")
    assert {row["rolname"]: row["rolsuper"] for row in roles} == dict.fromkeys((OWNER, ENGINE, API, AUTH), False)


# --- fencing ---


async def test_a_stale_epoch_drops_its_own_records_only(engine: Engine) -> None:
    ids = [await engine.worker.submit(LOCAL_WORKSPACE, chain("gated", "effect"), {}) for _ in range(3)]
    await until(lambda: engine.calls.running["n0"] == 3)
    await engine.connection.execute("UPDATE executions SET epoch = epoch + 1 WHERE id = $1", ids[0])
    before = await engine.worker.store.records(ids[0], ids[0])
    engine.calls.gate.set()
    rows = [await engine.finished(id) for id in ids[1:]]
    assert {row.status for row in rows} == {Status.COMPLETED}
    await until(lambda: ids[0] not in engine.worker.roots)
    assert await engine.worker.store.records(ids[0], ids[0]) == before


@pytest.mark.parametrize("bad", ["refused by the database", "without a written form"])
async def test_a_bad_record_ends_its_own_run_only(engine: Engine, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    ids = [await engine.worker.submit(LOCAL_WORKSPACE, chain("gated", "effect"), {}) for _ in range(8)]
    await until(lambda: engine.calls.running["n0"] == 8)
    victim = engine.worker.roots[ids[3]]
    if bad == "refused by the database":
        victim.batch().charges.append(
            charge_row(victim, victim.main, next(iter(victim.main.machine.firings.values())), "no such kind", 1, 0)
        )
    else:
        victim.record(victim.main, ("end", object()))
    engine.calls.gate.set()
    rows = [await engine.finished(id) for id in ids]
    assert [row.status for row in rows] == [Status.COMPLETED] * 3 + [Status.FAILED] + [Status.COMPLETED] * 4
    assert "wanted to record" in str(rows[3].error)
    closing = (await engine.records(rows[3]))[-1]
    assert list(closing[:2]) == ["close", "FAILED"]
    assert rows[3].last_seq == len(await engine.records(rows[3]))


async def test_a_large_value_that_cannot_be_stored_ends_its_own_run_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(engine.worker._services.blobs, "put", full)
    large, small = await asyncio.gather(
        engine.run(chain("echo", "effect", first="x" * 100_000)), engine.run(chain("echo", "effect", first="x"))
    )
    assert (large.status, small.status) == (Status.FAILED, Status.COMPLETED)
    assert "the disk is full" in str(large.error)


async def test_a_run_that_cannot_be_read_back_ends_and_holds_up_no_other(engine: Engine) -> None:
    ids = [await engine.worker.submit(LOCAL_WORKSPACE, chain("gated"), {}) for _ in range(5)]
    await until(lambda: engine.calls.running["n0"] == 5)
    await engine.crash()
    await engine.connection.execute("UPDATE journal SET body = '[[\"nonsense\"]]' WHERE root_id = $1", ids[2])
    engine.calls.gate.set()
    await engine.start()
    rows = [await engine.finished(id) for id in ids]
    assert [row.status for row in rows] == [Status.COMPLETED] * 2 + [Status.FAILED] + [Status.COMPLETED] * 2
    assert "cannot be taken up again" in str(rows[2].error)


async def test_a_worker_without_its_lease_writes_nothing_and_starts_anew(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle.engine.worker.HEARTBEAT_SECONDS", 0.2)
    id = await engine.worker.submit(LOCAL_WORKSPACE, chain("gated", "effect"), {})
    await until(lambda: engine.calls.running["n0"])
    old = engine.worker.id
    await engine.connection.execute("DELETE FROM workers")
    engine.calls.gate.set()
    row = await engine.finished(id)
    assert row.status is Status.COMPLETED
    assert engine.worker.id != old
    assert row.epoch > 1
    assert [record[0] for record in await engine.records(row)].count("end") == 2


async def test_a_run_that_was_committed_while_the_lease_ran_out_is_found(engine: Engine) -> None:
    """The taking over of a lease waits for a write that is under way, and then sees what it wrote."""
    writer = await asyncpg.connect(engine.urls.engine)
    worker = uuid7()
    await writer.execute("INSERT INTO workers (id, name, expires_at) VALUES ($1, 'x:1:1', '-infinity')", worker)
    async with writer.transaction():
        await writer.execute("SELECT 1 FROM workers WHERE id = $1 FOR KEY SHARE", worker)
        burying = asyncio.create_task(engine.connection.fetchval("SELECT workers_bury_v1()"))
        await asyncio.sleep(0.2)
        id = await make(writer, Status.RUNNING)
        await writer.execute("UPDATE executions SET worker_id = $2 WHERE id = $1", id, worker)
    await burying
    await writer.close()
    row = await engine.worker.store.execution(LOCAL_WORKSPACE, id)
    assert row.status is not Status.RUNNING or row.epoch > 0


# --- sharing ---


async def test_two_workers_share_what_is_queued(idle: Engine) -> None:
    workers = [await idle.start(capacity=10) for _ in range(2)]
    plan = chain("gated")
    for _ in range(20):
        await workers[0].store.enqueue(ExecutionId(uuid7()), LOCAL_WORKSPACE, plan, {})
    await until(lambda: idle.calls.running["n0"] == 20)
    assert [len(worker.roots) for worker in workers] == [10, 10]
    idle.calls.gate.set()
    await until(lambda: idle.value("SELECT bool_and(status = 'COMPLETED') FROM executions"))
    assert len(idle.calls.log) == 20


async def test_what_a_leaving_worker_gives_back_another_takes_up(idle: Engine) -> None:
    first = await idle.start()
    id = await first.submit(LOCAL_WORKSPACE, chain("gated"), {})
    await until(lambda: idle.calls.running["n0"])
    await idle.start()
    idle.workers.remove(first)
    await first.close()
    idle.calls.gate.set()
    assert (await idle.finished(id)).status is Status.COMPLETED
    assert [attempt for *_, attempt in idle.calls.log] == [1, 1]


async def test_a_newer_form_of_records_is_not_claimed(engine: Engine) -> None:
    newer, known = ExecutionId(uuid7()), ExecutionId(uuid7())
    await engine.worker.store.save_plan(LOCAL_WORKSPACE, chain("effect"))
    new = NEW.replace("'', $3, 1", "$4, $3, $5").replace("graph_version", "graph_version")
    for id, version in ((newer, FORMAT + 1), (known, FORMAT)):
        await engine.connection.execute(new, id, LOCAL_WORKSPACE, "QUEUED", chain("effect").digest, version)
    assert (await engine.finished(known)).status is Status.COMPLETED
    assert (await engine.worker.store.execution(LOCAL_WORKSPACE, newer)).status is Status.QUEUED


async def test_a_dead_workers_runs_are_queued_again_when_its_lease_runs_out(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle.engine.worker.SWEEP_SECONDS", 0.1)
    dead = await idle.start(lease_seconds=1.0)
    survivor = await idle.start()
    id = await dead.submit(LOCAL_WORKSPACE, chain("gated"), {})
    await until(lambda: idle.calls.running["n0"])
    idle.workers.remove(dead)
    await crash(dead)
    await until(lambda: id in survivor.roots)
    idle.calls.gate.set()
    assert (await idle.finished(id)).status is Status.COMPLETED


async def test_work_is_found_when_every_bell_is_lost(idle: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.engine.bell.PostgresBell.ring", lambda self, topic: None)
    monkeypatch.setattr("treadle.engine.worker.SWEEP_SECONDS", 0.1)
    worker = await idle.start()
    id = ExecutionId(uuid7())
    await worker.store.enqueue(id, LOCAL_WORKSPACE, plan_of({"ask": "review"}), {})
    assert (await idle.finished(id, resting=True)).status is Status.REVIEW
    await worker.store.tell(LOCAL_WORKSPACE, id, "decision", "d", firing=1, payload={})
    assert (await idle.finished(id)).status is Status.COMPLETED


async def test_a_journal_that_fails_in_an_unforeseen_way_is_replaced(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.run(chain("effect"))
    write = Journal._write
    broken = True

    async def failing_once(*arguments: Any) -> Any:
        nonlocal broken
        if broken:
            broken = False
            raise RuntimeError("nobody thought of this")
        return await write(*arguments)

    monkeypatch.setattr(Journal, "_write", failing_once)
    row = await engine.run(chain("effect", "effect"))
    assert row.status is Status.COMPLETED
