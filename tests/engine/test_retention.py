"""Partitions are made ahead and dropped when all in them is over and old; unused large values go, used ones stay."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from tests.engine.harness import Engine, chain, plan_of, until
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, uuid7
from treadle.engine.retention import drop_expired, drop_snapshots, ensure_partitions, first_id, sweep_blobs
from treadle.kernel.states import Status

LONG_AGO = datetime(2026, 1, 15, tzinfo=UTC)
A_MONTH = timedelta(days=30)


def old_id(moment: datetime) -> ExecutionId:
    return ExecutionId(UUID(int=first_id(moment).int | (uuid7().int & ((1 << 80) - 1))))


async def run_long_ago(engine: Engine, moment: datetime = LONG_AGO) -> ExecutionId:
    id = old_id(moment)
    await engine.worker.store.enqueue(id, LOCAL_WORKSPACE, chain("effect"), {})
    await engine.finished(id)
    return id


async def count(engine: Engine, table: str) -> int:
    return int(await engine.value(f"SELECT count(*) FROM {table}"))


async def test_partitions_are_made_ahead_once(engine: Engine) -> None:
    made = await ensure_partitions(engine.urls.owner, now=datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    assert made == ["journal_2026_11", "journal_2026_12", "journal_2027_01", "journal_2027_02"]
    assert await ensure_partitions(engine.urls.owner, now=datetime(2026, 12, 1, tzinfo=UTC)) == ["journal_2027_03"]


async def test_a_partition_takes_over_what_lies_in_the_default_one(engine: Engine) -> None:
    id = await run_long_ago(engine)
    before = await engine.worker.store.records(id, id)
    owner = await asyncpg.connect(engine.urls.owner)
    assert await owner.fetchval("SELECT count(*) FROM journal_default") > 0
    await ensure_partitions(engine.urls.owner, now=LONG_AGO, months=0)
    assert await owner.fetchval("SELECT count(*) FROM journal_default") == 0
    assert await owner.fetchval("SELECT count(*) FROM journal_2026_01") > 0
    await owner.close()
    assert await engine.worker.store.records(id, id) == before


async def test_runs_write_into_the_partition_of_their_month(engine: Engine) -> None:
    await ensure_partitions(engine.urls.owner)
    row = await engine.run(chain("effect"))
    assert row.status is Status.COMPLETED
    owner = await asyncpg.connect(engine.urls.owner)
    assert await owner.fetchval("SELECT count(*) FROM journal_default") == 0
    await owner.close()


async def test_an_expired_partition_goes_and_what_still_runs_keeps_its_past(engine: Engine) -> None:
    await ensure_partitions(engine.urls.owner, now=LONG_AGO, months=1)
    over = await run_long_ago(engine)
    young = await run_long_ago(engine, datetime(2026, 2, 20, tzinfo=UTC))
    asking = old_id(LONG_AGO)
    await engine.worker.store.enqueue(asking, LOCAL_WORKSPACE, plan_of({"ask": "review"}), {})
    await engine.finished(asking, resting=True)
    records = await engine.worker.store.records(asking, asking)
    dropped = await drop_expired(engine.urls.owner, A_MONTH, now=datetime(2026, 3, 15, tzinfo=UTC))
    assert dropped == ["journal_2026_01"]
    ids = {row["id"] for row in await engine.connection.fetch("SELECT id FROM executions")}
    assert ids == {young, asking}
    assert await engine.worker.store.records(over, over) == []
    assert await engine.worker.store.records(asking, asking) == records
    assert await engine.worker.store.records(young, young) != []
    await engine.worker.store.tell(LOCAL_WORKSPACE, asking, "decision", "d", firing=1, payload={})
    assert (await engine.finished(asking)).status is Status.COMPLETED
    assert await drop_expired(engine.urls.owner, A_MONTH, now=datetime(2026, 3, 15, tzinfo=UTC)) == []
    assert {row["id"] for row in await engine.connection.fetch("SELECT id FROM executions")} == {young}
    assert (await count(engine, "reviews"), await count(engine, "inbox")) == (0, 0)


async def test_what_is_young_is_kept(engine: Engine) -> None:
    await ensure_partitions(engine.urls.owner, now=LONG_AGO, months=0)
    id = await run_long_ago(engine)
    assert await drop_expired(engine.urls.owner, A_MONTH, now=datetime(2026, 2, 20, tzinfo=UTC)) == []
    assert await engine.worker.store.records(id, id) != []


async def test_unused_large_values_are_swept_after_a_grace(engine: Engine) -> None:
    row = await engine.run(chain("echo", "effect", first="used " * 40_000))
    assert row.status is Status.COMPLETED
    (used,) = engine.blob_folder.rglob("?" * 64)
    folder = used.parent
    stale, fresh, partial = (folder / name for name in ("a" * 64, "b" * 64, ".left-over"))
    for path in (stale, fresh, partial):
        path.write_bytes(b"x")
    week_ago = time.time() - 7 * 86_400
    for path in (used, stale, partial):
        os.utime(path, (week_ago, week_ago))
    assert await sweep_blobs(engine.urls.engine, engine.blob_folder) == 2
    assert sorted(folder.iterdir()) == sorted([used, fresh])
    assert await sweep_blobs(engine.urls.engine, engine.blob_folder / "nothing-here") == 0


async def test_a_value_that_is_stored_again_is_young_again(engine: Engine) -> None:
    blobs = engine.blobs
    await blobs.put(LOCAL_WORKSPACE, "c" * 64, b"content")
    path: Path = next(engine.blob_folder.rglob("c" * 64))
    os.utime(path, (0, 0))
    await blobs.put(LOCAL_WORKSPACE, "c" * 64, b"content")
    assert await sweep_blobs(engine.urls.engine, engine.blob_folder) == 0
    os.utime(path, (0, 0))
    assert await sweep_blobs(engine.urls.engine, engine.blob_folder) == 1


async def test_snapshots_of_what_is_over_go(engine: Engine) -> None:
    done = await engine.run(chain("effect"))
    open_id = await engine.worker.submit(LOCAL_WORKSPACE, chain("gated"), {})
    await until(lambda: engine.calls.running["n0"])
    for id in (done.id, open_id):
        await engine.connection.execute(
            "INSERT INTO snapshots (execution_id, root_id, workspace_id, seq, body) VALUES ($1, $1, $2, 1, '')",
            id,
            LOCAL_WORKSPACE,
        )
    await drop_snapshots(engine.worker.pool)
    assert [row["root_id"] for row in await engine.connection.fetch("SELECT root_id FROM snapshots")] == [open_id]
