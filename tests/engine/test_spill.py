"""Long lines are kept in the database: nobody sees a difference, but in memory."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.engine.harness import Engine, plan_of, until
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, uuid7
from treadle.engine import snapshots, spill, spilled_rows
from treadle.engine.journal import Rows
from treadle.engine.retention import drop_snapshots
from treadle.engine.run import Run
from treadle.engine.store import ExecutionRow
from treadle.engine.view import History
from treadle.kernel.graph import NodePolicy
from treadle.kernel.lane import Entry, Lane
from treadle.kernel.plan import Plan
from treadle.kernel.records import FORMAT
from treadle.kernel.states import Status

NUMBERS = [float("inf"), "text", {"a": [1, {"b": None}]}, *range(80)]
PURE = plan_of(
    {
        "src": ("items", {"value": NUMBERS}),
        "a": "echo",
        "b": ("echo", {}, NodePolicy(concurrency=3)),
        "pair": "join",
        "all": "collect",
        "out": ("output", {"name": "o"}),
        "last": ("output", {"name": "all"}),
    },
    ["src > a", "a > b", "b > pair.a", "src > pair.b", "pair > out.value", "pair > all", "all > last.value"],
)
"""Each item joins with what became of it: one pin waits for the other, and both for their turn."""
LOOP = plan_of(
    {
        "src": ("items", {"value": 80}),
        "add": ("pure", {}, NodePolicy(concurrency=2)),
        "again": "below",
        "out": ("output", {"name": "o"}),
    },
    ["src > add", "add > again", "again.again > add", "again > out.value"],
)
"""A cycle: what comes back joins a line that is long already."""
EFFECTS = plan_of(
    {
        "src": ("items", {"value": 25}),
        "do": ("effect", {}, NodePolicy(concurrency=3)),
        "pair": "join",
        "then": ("effect", {}, NodePolicy(concurrency=2)),
        "out": ("output", {"name": "o"}),
    },
    ["src > do", "do > pair.a", "src > pair.b", "pair > then", "then > out.value"],
)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Lines of some few entries stay in memory, and snapshots are taken often."""
    monkeypatch.setattr(spill, "LOOK_AT", 2)
    monkeypatch.setattr(spill, "ENTRIES", getattr(request, "param", 8))
    monkeypatch.setattr(snapshots, "EVERY", 20)
    monkeypatch.setattr("treadle.engine.run.SNAPSHOTS_FROM", 20)


async def spilled(engine: Engine) -> int:
    return int(await engine.value("SELECT count(*) FROM spilled"))


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """How many rows, or keys, each call of a function of the table is given from now on."""
    calls: list[int] = []
    function = getattr(spilled_rows, name)

    async def noted(*arguments: Any) -> Any:
        calls.append(len(arguments[-1]))
        return await function(*arguments)

    monkeypatch.setattr(spilled_rows, name, noted)
    return calls


def taken_away(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries are taken out of memory each time from now on."""
    amounts: list[int] = []
    take = spill.Spills._take_away

    def noted(self: spill.Spills, run: Run, lane: Lane, entries: list[Entry], sets: bool, *, light: bool) -> None:
        amounts.append(len(entries))
        take(self, run, lane, entries, sets, light=light)

    monkeypatch.setattr(spill.Spills, "_take_away", noted)
    return amounts


def story(records: list[Any]) -> list[Any]:
    """The records without their times."""
    return [(record[0], *record[1:4]) if record[0] == "end" else record[:1] for record in records]


async def straight(idle: Engine, monkeypatch: pytest.MonkeyPatch, plan: Plan) -> tuple[ExecutionRow, list[Any]]:
    """The run as it is with everything in memory."""
    with monkeypatch.context() as patched:
        patched.setattr(spill, "LOOK_AT", 10**9)
        worker = await idle.start()
        row = await idle.run(plan)
        records = await idle.records(row)
        assert await spilled(idle) == 0
        idle.workers.remove(worker)
        await worker.close()
    return row, story(records)


@pytest.mark.parametrize("short", [4, 12, 40], indirect=True)
@pytest.mark.parametrize("plan", [PURE, LOOP], ids=["pure", "loop"])
async def test_a_run_with_short_lines_is_the_same_run(
    idle: Engine, monkeypatch: pytest.MonkeyPatch, short: None, plan: Plan
) -> None:
    before, told = await straight(idle, monkeypatch, plan)
    taken = taken_away(monkeypatch)
    await idle.start()
    row = await idle.run(plan)
    assert row.status is Status.COMPLETED, row.error
    assert (row.status, row.outputs, row.nodes.keys()) == (Status.COMPLETED, before.outputs, before.nodes.keys())
    assert story(await idle.records(row)) == told
    assert sum(taken) >= 5
    await idle.worker.journal.flushed()
    assert await spilled(idle) == 0, "a run that is over keeps nothing out of memory"


async def test_effects_are_given_what_was_kept_elsewhere(
    idle: Engine, monkeypatch: pytest.MonkeyPatch, short: None
) -> None:
    before, _ = await straight(idle, monkeypatch, EFFECTS)
    reads = counted(monkeypatch, "read")
    await idle.start()
    row = await idle.run(EFFECTS)
    assert row.status is Status.COMPLETED, row.error
    assert row.outputs == before.outputs == [("o", [i, i]) for i in range(25)]
    assert len(reads) > 3


async def test_what_people_see_of_a_run_is_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, short: None
) -> None:
    """In the midst of it too: the view folds the journal, and needs nothing that is kept elsewhere."""
    plan = plan_of({"src": ("items", {"value": 30}), "do": ("gated", {}, NodePolicy(concurrency=2))}, ["src > do"])
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["do"] == 2)
    await until(lambda: spilled(engine))
    history = History(plan, lambda block: frozenset())
    firings = history.fold([record for _, record in await engine.worker.store.records(id, id)]).finish()
    assert [(each.number, each.inputs.get("value"), each.status) for each in firings[1:]] == [
        (number + 2, number, "running" if number < 2 else "ready") for number in range(30)
    ]
    engine.calls.gate.set()
    assert (await engine.finished(id)).status is Status.COMPLETED


# --- snapshots and recovery ---


GATED = plan_of(
    {
        "src": ("items", {"value": 200}),
        "do": ("gated", {}, NodePolicy(concurrency=1)),
        "steps": "pure",
        "out": ("output", {"name": "o"}),
    },
    ["src > do", "do > out.value", "src > steps"],
)
"""The pure firings make a snapshot; the effects wait at the gate."""
SAVE = f"SELECT snapshots_save_v1($1, $2, $3, $2, 1000000, {FORMAT}::smallint, '', $4, '{{}}')"


async def crowded(engine: Engine) -> ExecutionId:
    """A run that waits at the gate, with a snapshot that refers to rows."""
    id = await engine.worker.submit(LOCAL_WORKSPACE, GATED, {})
    await until(lambda: engine.calls.running["do"] == 1)
    await until(lambda: engine.value("SELECT count(*) > 0 FROM snapshots"))
    assert await spilled(engine) > 10
    return id


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_a_snapshot_refers_to_what_is_kept_elsewhere(engine: Engine, short: None) -> None:
    id = await crowded(engine)
    row = await engine.connection.fetchrow("SELECT seq, body FROM snapshots")
    assert row is not None
    head, chunks, last = snapshots.read(row["body"])["nodes"][1]["backlog"]
    assert len(head) + len(last) <= 50
    assert len(head) + sum(chunk[1] for chunk in chunks) + len(last) == 199
    await engine.crash()
    # The records that the snapshot covers are not needed any more: recovery would fail if it read them.
    nonsense = "UPDATE journal SET body = 'unreadable' WHERE execution_id = $1 AND seq + count - 1 <= $2"
    await engine.connection.execute(nonsense, id, row["seq"])
    engine.calls.gate.set()
    await engine.start()
    done = await engine.finished(id)
    assert (done.status, done.outputs) == (Status.COMPLETED, [("o", i) for i in range(200)]), done.error


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_what_is_used_up_goes_with_the_next_snapshot(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, short: None
) -> None:
    written = counted(monkeypatch, "save")
    plan = plan_of(
        {
            "src": ("items", {"value": 200}),
            "do": ("effect", {}, NodePolicy(concurrency=2)),
            "all": "collect",
            "hold": "gated",
        },
        ["src > do", "do > all", "all > hold"],
    )
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["hold"])
    assert sum(written) > 12
    assert await spilled(engine) < 4
    engine.calls.gate.set()
    assert (await engine.finished(id)).status is Status.COMPLETED
    await engine.worker.journal.flushed()
    assert await spilled(engine) == 0


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_a_worker_that_has_lost_a_run_takes_nothing_away_from_it(engine: Engine, short: None) -> None:
    id = await crowded(engine)
    rows, kept = await spilled(engine), await engine.value("SELECT seq FROM snapshots")
    for worker, epoch in ((uuid7(), 1), (engine.worker.id, 0)):
        assert await engine.value(SAVE, worker, id, epoch, 2**62) is False
    assert await engine.value("SELECT seq FROM snapshots") == kept
    assert await spilled(engine) == rows
    assert await engine.value(SAVE, engine.worker.id, id, 1, 2**62) is True
    assert await spilled(engine) == 0


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_a_snapshot_of_an_earlier_format_is_passed_over(engine: Engine, short: None) -> None:
    id = await crowded(engine)
    await engine.crash()
    await engine.connection.execute("UPDATE snapshots SET format = 2, body = 'of old'")
    engine.calls.gate.set()
    await engine.start()
    done = await engine.finished(id)
    await engine.worker.journal.flushed()
    assert await spilled(engine) == 0, "what the worker before had written is gone too"
    assert (done.status, done.outputs) == (Status.COMPLETED, [("o", i) for i in range(200)]), done.error


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_a_run_whose_waiting_values_are_gone_ends_with_a_message(engine: Engine, short: None) -> None:
    id = await crowded(engine)
    await engine.connection.execute("DELETE FROM spilled")
    engine.calls.gate.set()
    row = await engine.finished(id)
    assert row.status is Status.FAILED
    assert "waited in front of a node cannot be read" in str(row.error)


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_a_run_can_be_stopped_while_it_reads(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, short: None
) -> None:
    reading = asyncio.Event()

    async def never(*_: object) -> Any:
        reading.set()
        await asyncio.Event().wait()

    id = await crowded(engine)
    monkeypatch.setattr(spilled_rows, "read", never)
    engine.calls.gate.set()
    await asyncio.wait_for(reading.wait(), 10)
    await engine.worker.store.tell(LOCAL_WORKSPACE, id, "stop", "stop")
    assert (await engine.finished(id)).status is Status.TERMINATED
    await engine.worker.journal.flushed()
    assert await spilled(engine) == 0


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_a_run_does_not_rest_while_it_reads(engine: Engine, monkeypatch: pytest.MonkeyPatch, short: None) -> None:
    """A review waits beside it: nothing else runs at that moment, but it will."""
    plan = plan_of(
        {
            "ask": "review",
            "src": ("items", {"value": 100}),
            "do": ("gated", {}, NodePolicy(concurrency=1)),
            "out": ("output", {"name": "o"}),
        },
        ["src > do", "do > out.value"],
    )
    go_on, read = asyncio.Event(), spilled_rows.read

    async def slow(*arguments: Any) -> Any:
        await go_on.wait()
        return await read(*arguments)

    monkeypatch.setattr(spilled_rows, "read", slow)
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["do"] == 1)
    await engine.worker.journal.flushed()
    engine.calls.gate.set()
    root = engine.worker.roots[id]
    await until(lambda: root.spills.loading and not root.active)
    root.rest()
    assert not root.over
    go_on.set()
    row = await engine.finished(id, resting=True)
    assert (row.status, row.epoch) == (Status.REVIEW, 1)
    assert row.outputs == [("o", i) for i in range(100)]


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_a_run_rests_when_nothing_is_left_but_what_it_has_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, short: None
) -> None:
    """The last that happens before it can only wait for a person is that pairs are complete, and end at once."""
    plan = plan_of(
        {
            "ask": "review",
            "src": ("items", {"value": 100}),
            "do": "effect",
            "pair": "join",
            "out": ("output", {"name": "o"}),
        },
        ["src > do", "do > pair.a", "src > pair.b", "pair > out.value"],
    )
    read = spilled_rows.read

    async def late(*arguments: Any) -> Any:
        (root,) = engine.worker.roots.values()
        await until(lambda: not root.active)
        return await read(*arguments)

    monkeypatch.setattr(spilled_rows, "read", late)
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    row = await engine.finished(id, resting=True)
    assert (row.status, row.outputs) == (Status.REVIEW, [("o", [i, i]) for i in range(100)])


async def test_large_values_that_wait_are_references(engine: Engine, short: None) -> None:
    text = "long " * 20_000
    plan = plan_of(
        {"src": ("items", {"value": [text] * 30}), "do": ("gated", {}, NodePolicy(concurrency=1)), "all": "collect"},
        ["src > do", "do > all"],
    )
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["do"] == 1)
    await until(lambda: spilled(engine))
    assert await engine.value("SELECT max(octet_length(body)) FROM spilled") < 1_000
    engine.calls.gate.set()
    row = await engine.finished(id)
    assert row.status is Status.COMPLETED, row.error
    assert row.nodes["do"][0] == 30


async def test_heavy_values_leave_memory_sooner(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "LOOK_AT", 2)
    monkeypatch.setattr(spill, "WEIGHT", 20 * 11_000)
    plan = plan_of(
        {
            "src": ("items", {"value": [f"{i:05}" * 2_000 for i in range(60)]}),
            "do": ("gated", {}, NodePolicy(concurrency=1)),
        },
        ["src > do"],
    )
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["do"] == 1)
    lane = engine.worker.roots[id].main.machine.nodes[1].backlog
    assert lane is not None
    assert len(lane) == 59
    assert len(lane.head) + len(lane.last) < 30
    engine.calls.gate.set()
    assert (await engine.finished(id)).status is Status.COMPLETED


async def test_what_all_in_a_line_share_is_weighed_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "LOOK_AT", 2)
    monkeypatch.setattr(spill, "WEIGHT", 20 * 11_000)
    shared = "long " * 20_000
    monkeypatch.setattr(spill, "ENTRIES", 1_000)
    plan = plan_of(
        {"src": ("items", {"value": [shared] * 60}), "do": ("gated", {}, NodePolicy(concurrency=1))}, ["src > do"]
    )
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["do"] == 1)
    lane = engine.worker.roots[id].main.machine.nodes[1].backlog
    assert lane is not None
    assert lane.in_memory == len(lane) == 59
    engine.calls.gate.set()
    assert (await engine.finished(id)).status is Status.COMPLETED


async def test_a_stream_waits_for_the_disk_when_that_is_far_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle.engine.root.HIGH_WATER", 30)
    write = engine.worker.journal._write
    written: list[int] = []

    async def noted(rows: Rows, batches: Any) -> Any:
        written.append(sum(rows.counts))
        return await write(rows, batches)

    monkeypatch.setattr(engine.worker.journal, "_write", noted)
    engine.calls.gate.set()
    plan = plan_of({"src": ("streaming", {"value": 500}), "out": ("output", {"name": "o"})}, ["src > out.value"])
    row = await engine.run(plan)
    assert row.outputs == [("o", number) for number in range(500)]
    assert max(written) < 100
    assert sum(written) > 1_000


# --- what is left, and goes ---


@pytest.mark.parametrize("short", [40], indirect=True)
async def test_a_run_with_a_snapshot_of_this_format_is_left_alone_by_older_workers(engine: Engine, short: None) -> None:
    id = await crowded(engine)
    await engine.connection.execute("UPDATE executions SET format = 2 WHERE id = $1", id)
    assert await engine.value(SAVE, engine.worker.id, id, 1, 2**61) is True
    assert await engine.value("SELECT format FROM executions WHERE id = $1", id) == FORMAT


async def test_what_runs_left_behind_is_swept(engine: Engine) -> None:
    row = await engine.run(plan_of({"src": ("items", {"value": 2})}))
    deleted, beginning = UUID(int=row.id.int - (2 * 86_400_000 << 80)), uuid7()
    for root in (row.id, deleted, beginning):
        await engine.connection.execute("INSERT INTO spilled VALUES ($1, 1, $1, $2, '')", root, LOCAL_WORKSPACE)
    await drop_snapshots(engine.worker.pool)
    assert [each["root_id"] for each in await engine.connection.fetch("SELECT root_id FROM spilled")] == [beginning]
