"""Values in storage: large ones once, secrets never, summaries as the journal says, views and re-runs from it."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import CANARY, Engine, chain, plan_of, raw_rows, rebuilt, running_engine, until
from treadle.base.database import DatabaseUrls
from treadle.base.errors import BadInput
from treadle.base.ids import LOCAL_WORKSPACE, BlockId, ExecutionId, uuid7
from treadle.engine.large import with_contents
from treadle.engine.rerun import Rerun, prepare_rerun
from treadle.engine.store import ExecutionRow
from treadle.engine.view import History
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.kernel.plan import Plan
from treadle.kernel.records import references
from treadle.kernel.states import Status

LARGE = "large " * 40_000


async def test_a_large_value_is_stored_once_and_shared(engine: Engine) -> None:
    plan = plan_of(
        {"src": ("items", {"value": [LARGE] * 20}), "echo": "echo", "do": "effect", "all": "collect"},
        ["src > echo", "echo > do", "do > all"],
    )
    rows = [await engine.run(plan) for _ in range(2)]
    assert {row.status for row in rows} == {Status.COMPLETED}
    files = [path for path in engine.blob_folder.rglob("*") if path.is_file()]
    digests = {each.digest for row in rows for record in await engine.records(row) for each in references(record)}
    assert digests == {path.name for path in files}
    assert len(files) == 2, "the text and the list of twenty of it"
    assert sum(len(row["body"]) for row in await engine.connection.fetch("SELECT body FROM journal")) < 40_000


async def test_large_values_are_there_again_after_a_crash(engine: Engine) -> None:
    plan = plan_of(
        {"src": ("items", {"value": [LARGE]}), "gate": "gated", "out": ("output", {"name": "o"})},
        ["src > gate", "gate > out.value"],
    )
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: engine.calls.running["gate"])
    await engine.crash()
    engine.calls.gate.set()
    await engine.start()
    assert (await engine.finished(id)).status is Status.COMPLETED


async def test_a_run_whose_large_value_is_gone_ends_with_a_message(engine: Engine) -> None:
    id = await engine.worker.submit(LOCAL_WORKSPACE, chain("echo", "gated", first=LARGE), {})
    await until(lambda: engine.calls.running["n1"])
    await engine.crash()
    for path in engine.blob_folder.rglob("?" * 64):
        path.unlink()
    await engine.start()
    row = await engine.finished(id)
    assert row.status is Status.FAILED
    assert "not stored here" in str(row.error)


@pytest.mark.parametrize("value", ["use", "fail"])
async def test_no_secret_reaches_the_database(engine: Engine, value: str, caplog: pytest.LogCaptureFixture) -> None:
    plan = plan_of({"src": ("echo", {"value": value}), "use": ("secretive", {"key": CANARY})}, ["src > use"])
    row = await engine.run(plan)
    assert row.status is (Status.COMPLETED if value == "use" else Status.FAILED)
    assert engine.calls.nodes() == ["use"]
    await engine.worker.store.enqueue(ExecutionId(uuid7()), LOCAL_WORKSPACE, plan, {})
    for table in ("journal", "executions", "inbox", "reviews", "charges", "snapshots"):
        assert CANARY not in await raw_rows(engine.connection, table), table
    starts = [record for record in await engine.records(row) if record[0] == "start"]
    assert [record[4]["key"] for record in starts] == ["***"]


# --- summaries ---

NODE = st.sampled_from(["pure", "echo", "read", "effect", "failing", "paid"])


def any_plan(data: Any) -> Plan:
    """Layers of blocks, each linked to some node before it; the first sends several numbers."""
    names = data.draw(st.lists(NODE, min_size=1, max_size=8))
    policy = NodePolicy(retry=RetryPolicy(2, 0.01, 0.01, "any"))
    nodes: dict[str, Any] = {"src": ("items", {"value": data.draw(st.integers(0, 5))})}
    links = []
    for index, name in enumerate(names):
        before = data.draw(st.sampled_from(list(nodes)))
        nodes[f"n{index}"] = (name, {}, policy)
        links.append(f"{before} > n{index}.value")
    nodes["pair"] = "join"
    links += [f"{data.draw(st.sampled_from(list(nodes)[:-1]))} > pair.{pin}" for pin in "ab"]
    return plan_of(nodes, links)


async def check_summary(engine: Engine, plan: Plan, row: ExecutionRow) -> None:
    again = rebuilt(plan, await engine.records(row), row)
    for name, value in again.items():
        stored = getattr(row, name)
        assert stored == ([tuple(each) for each in value] if name == "outputs" else value), name


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_the_summary_is_what_the_journal_leads_to(
    database: DatabaseUrls, home: Path, data: st.DataObject
) -> None:
    plan = any_plan(data)
    async with running_engine(database, home) as engine:
        await engine.start()
        await check_summary(engine, plan, await engine.run(plan))


async def test_the_summary_of_a_failed_run(engine: Engine) -> None:
    plan = plan_of({"src": ("items", {"value": 4}), "bad": "failing", "paid": "paid"}, ["src > bad", "src > paid"])
    engine.calls.failures["bad"] = 3
    row = await engine.run(plan)
    await check_summary(engine, plan, row)
    assert (row.failed, row.cost) == (3, 12)
    assert {name: (counts[0], counts[1], counts[3]) for name, counts in row.nodes.items()} == {
        "src": (1, 0, 0),
        "bad": (4, 3, 0),
        "paid": (4, 0, 12),
    }


# --- views ---


def no_secrets(block: BlockId) -> frozenset[str]:
    return frozenset({"key"}) if block == "secretive" else frozenset()


async def test_the_view_tells_what_every_firing_did(engine: Engine) -> None:
    engine.calls.failures["flaky"] = 1
    plan = plan_of(
        {
            "src": ("items", {"value": [7]}),
            "flaky": ("failing", {"value": "later", "seconds": 0.0}, NodePolicy(retry=RetryPolicy(2, 0.01))),
            "ask": "review",
            "use": ("secretive", {"key": CANARY}),
        },
        ["src > ask", "ask > use"],
    )
    row = await engine.at_rest(plan)
    history = History(plan, no_secrets).fold(await engine.records(row))
    waiting = {str(view.node): view for view in history.finish()}["ask"]
    assert (waiting.status, waiting.inputs, waiting.causes) == ("review", {"value": 7}, ((1, 0),))
    await engine.worker.store.tell(LOCAL_WORKSPACE, row.id, "decision", "d", firing=waiting.number, payload={"data": 8})
    row = await engine.finished(row.id)
    history = History(plan, no_secrets).fold(await engine.records(row))
    views = {str(view.node): view for view in history.finish()}
    assert {view.status for view in views.values()} == {"completed"}
    assert history.closed is not None
    assert history.closed[0] == "COMPLETED"
    assert [attempt["error"] for attempt in views["flaky"].attempts] == ["Busy."]
    assert views["ask"].waits[0]["decision"]["data"] == 8
    assert views["ask"].outputs == [("value", 8)]
    assert views["use"].inputs == {"key": "***", "value": 8}


# --- re-runs ---


async def rerun(
    engine: Engine, plan: Plan, row: ExecutionRow, firing: int, **options: Any
) -> tuple[Rerun, ExecutionRow]:
    prepared = prepare_rerun(
        plan,
        await with_contents(await engine.records(row), LOCAL_WORKSPACE, engine.blobs),
        [firing],
        earlier=row.id,
        now_ms=int(time.time() * 1000),
        **options,
    )
    new = options.get("new") or plan
    id = await engine.worker.submit(LOCAL_WORKSPACE, new, {}, rerun=(row.id, prepared.records))
    return prepared, await engine.finished(id)


FORK = plan_of(
    {
        "src": ("items", {"value": [LARGE]}),
        "left": "effect",
        "right": "effect",
        "after": "effect",
        "out": ("output", {"name": "o"}),
    },
    ["src > left", "src > right", "left > after", "after > out.value"],
)


async def test_a_rerun_keeps_what_does_not_follow_and_repeats_the_rest(engine: Engine) -> None:
    row = await engine.run(FORK)
    numbers = {
        str(view.node): view.number for view in History(FORK, no_secrets).fold(await engine.records(row)).finish()
    }
    engine.calls.log.clear()
    prepared, again = await rerun(engine, FORK, row, numbers["left"])
    assert (again.status, again.rerun_of) == (Status.COMPLETED, row.id)
    assert engine.calls.nodes() == ["left", "after"]
    assert {node for _, node in prepared.repeats} == {"left", "after"}
    assert prepared.kept == 2
    assert [name for name, _ in again.outputs] == ["o"]
    assert (await engine.worker.store.execution(LOCAL_WORKSPACE, row.id)).ended_at == row.ended_at


async def test_a_rerun_with_edited_input(engine: Engine) -> None:
    row = await engine.run(FORK)
    numbers = {
        str(view.node): view.number for view in History(FORK, no_secrets).fold(await engine.records(row)).finish()
    }
    _, again = await rerun(engine, FORK, row, numbers["after"], edits={"value": "edited"})
    assert again.outputs == [("o", "edited")]


async def test_a_rerun_with_a_newer_version_of_the_graph(engine: Engine) -> None:
    old = chain("effect", "effect", "effect", first=1)
    new = plan_of(
        {"n0": ("effect", {"value": 1}), "n1": ("effect", {}), "n2": ("pure", {}), "out": ("output", {"name": "o"})},
        ["n0 > n1", "n1 > n2", "n2 > out.value"],
        version=2,
    )
    row = await engine.run(old)
    engine.calls.log.clear()
    _, again = await rerun(engine, old, row, 3, new=new)
    assert (again.status, again.outputs, again.graph_version) == (Status.COMPLETED, [("o", 2)], 2)
    assert engine.calls.nodes() == ["pure"]


async def test_a_rerun_goes_on_after_a_crash(engine: Engine) -> None:
    plan = plan_of(
        {"a": ("effect", {"value": 1}), "b": "gated", "out": ("output", {"name": "o"})}, ["a > b", "b > out.value"]
    )
    engine.calls.gate.set()
    row = await engine.run(plan)
    engine.calls.gate.clear()
    engine.calls.log.clear()
    prepared = prepare_rerun(plan, await engine.records(row), [2], earlier=row.id, now_ms=int(time.time() * 1000))
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {}, rerun=(row.id, prepared.records))
    await until(lambda: engine.calls.running["b"])
    await engine.crash()
    engine.calls.gate.set()
    await engine.start()
    again = await engine.finished(id)
    assert (again.status, again.outputs) == (Status.COMPLETED, [("o", 1)])
    assert engine.calls.nodes() == ["b", "b"]


async def test_a_firing_that_never_was_cannot_be_run_again(engine: Engine) -> None:
    row = await engine.run(chain("effect"))
    with pytest.raises(BadInput):
        await rerun(engine, chain("effect"), row, 9)
