"""Recovery of long runs: a snapshot and the records after it lead to the same state as the whole journal."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.engine.harness import Engine, chain, plan_of, rebuilt, until
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.engine import snapshots
from treadle.engine.summary import Summary, fold_summary
from treadle.kernel.machine import Machine
from treadle.kernel.records import apply, decode_records, encode_records
from treadle.kernel.snapshot import dump
from treadle.kernel.states import Status

STEPS = [f"read{i}" for i in range(6)]
THROUGH = [f"{a} > {b}" for a, b in pairwise(STEPS)]
LONG = plan_of(
    {
        **dict.fromkeys(STEPS, "read"),
        "src": ("items", {"value": [float("inf"), None, *range(60)]}),
        "echo": "echo",
        "all": "collect",
        "gate": "gated",
        "out": ("output", {"name": "o"}),
    },
    [
        "src > read0",
        *(f"{a} > {b}" for a, b in pairwise(STEPS)),
        "read5 > echo",
        "echo > all",
        "all > gate",
        "gate > out.value",
    ],
)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot after some 20 records instead of 10,000."""
    monkeypatch.setattr(snapshots, "EVERY", 20)
    monkeypatch.setattr("treadle.engine.run.SNAPSHOTS_FROM", 20)


async def snapshot_of(engine: Engine) -> Any:
    return await engine.connection.fetchrow("SELECT execution_id, seq, body FROM snapshots")


async def test_a_snapshot_is_what_its_records_lead_to(engine: Engine) -> None:
    id = await engine.worker.submit(LOCAL_WORKSPACE, LONG, {})
    await until(lambda: engine.calls.running["gate"])
    row = await snapshot_of(engine)
    machine, summary = Machine(LONG), Summary(len(LONG.nodes))
    for seq, record in await engine.worker.store.records(id, id):
        if seq <= row["seq"]:
            fold_summary(summary, machine, record)
            apply(machine, record)
    ((_, again),) = decode_records(encode_records([("snapshot", dump(machine, summary))]))
    state = snapshots.read(row["body"])
    assert state.pop("chunks") == []
    assert state == again
    assert await engine.value("SELECT count(*) FROM snapshots") == 1


async def test_recovery_from_a_snapshot_and_its_tail(engine: Engine) -> None:
    id = await engine.worker.submit(LOCAL_WORKSPACE, LONG, {})
    await until(lambda: engine.calls.running["gate"])
    seq = (await snapshot_of(engine))["seq"]
    assert seq > 0
    await engine.crash()
    # The records that the snapshot covers are not needed any more: recovery would fail if it read them.
    await engine.connection.execute(
        "UPDATE journal SET body = 'unreadable' WHERE execution_id = $1 AND seq + count - 1 <= $2", id, seq
    )
    engine.calls.gate.set()
    await engine.start()
    row = await engine.finished(id)
    assert row.status is Status.COMPLETED, row.error
    assert row.outputs == [("o", [float("inf"), None, *range(60)])]
    assert row.firings == 7 * 62 + 4
    assert engine.calls.nodes().count("read0") == 62


async def test_summaries_are_the_same_with_and_without_a_snapshot(engine: Engine) -> None:
    id = await engine.worker.submit(LOCAL_WORKSPACE, LONG, {})
    await until(lambda: engine.calls.running["gate"])
    assert await snapshot_of(engine)
    await engine.crash()
    engine.calls.gate.set()
    await engine.start()
    row = await engine.finished(id)
    again = rebuilt(LONG, await engine.records(row), row)
    assert (row.nodes, row.firings, row.last_seq) == (again["nodes"], again["firings"], again["last_seq"])


async def test_no_snapshot_is_written_before_its_records_are(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.run(chain("pure"))
    disk = asyncio.Event()
    write = engine.worker.journal._write

    async def slow(*arguments: Any) -> Any:
        await disk.wait()
        return await write(*arguments)

    monkeypatch.setattr(engine.worker.journal, "_write", slow)
    submitting = asyncio.create_task(engine.worker.submit(LOCAL_WORKSPACE, chain(*["pure"] * 40, "gated"), {}))
    await until(lambda: engine.calls.nodes().count("pure") == 41)
    await asyncio.sleep(0.1)
    assert await snapshot_of(engine) is None
    disk.set()
    id = await submitting
    row = await until(lambda: snapshot_of(engine))
    assert row["seq"] <= len(await engine.worker.store.records(id, id))


async def test_large_values_in_a_snapshot_are_references(engine: Engine) -> None:
    text = "long " * 40_000
    nodes = {
        "src": ("items", {"value": [text] * 30}),
        **dict.fromkeys(STEPS, "read"),
        "all": "collect",
        "gate": "gated",
    }
    plan = plan_of(nodes, ["src > read0", *THROUGH, "read5 > all", "all > gate"])
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["gate"])
    row = await until(lambda: snapshot_of(engine))
    assert len(row["body"]) < 50_000
    await engine.crash()
    engine.calls.gate.set()
    await engine.start()
    assert (await engine.finished(id)).status is Status.COMPLETED


async def test_a_snapshot_replaces_those_before_it(engine: Engine) -> None:
    row = await engine.run(chain(*["effect"] * 60))
    assert row.status is Status.COMPLETED
    found = await engine.connection.fetch("SELECT seq FROM snapshots")
    assert len(found) == 1
    assert found[0]["seq"] > 60
