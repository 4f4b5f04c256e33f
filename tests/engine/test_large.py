"""Large values are stored once, whatever refers to them: records, rows, what people are asked and what they answer."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.harness import Engine, chain, plan_of, sub_agent, until
from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, WorkspaceId, uuid7
from treadle.engine import large
from treadle.engine.blobs import LocalBlobs
from treadle.engine.journal import Rows
from treadle.engine.large import LargeValues, with_contents
from treadle.engine.rerun import prepare_rerun
from treadle.engine.retention import sweep_blobs
from treadle.kernel.plan import Plan
from treadle.kernel.records import Reference, decode_records, references, unmarked
from treadle.kernel.states import Status

LARGE = "large " * 40_000
OTHER = "other " * 40_000
SAME = plan_of({"in": "input", "out": ("output", {"name": "o"})}, ["in > out.value"])
ASK = plan_of({"in": "input", "ask": "review", "out": ("output", {"name": "o"})}, ["in > ask", "ask > out.value"])


def files(engine: Engine) -> set[str]:
    return {path.name for path in engine.blob_folder.rglob("?" * 64)}


async def queue(engine: Engine, plan: Plan, value: Any) -> ExecutionId:
    id = ExecutionId(uuid7())
    return await engine.worker.store.enqueue(id, LOCAL_WORKSPACE, plan, {0: {"value": value}})


async def bytes_of(engine: Engine, table: str, column: str) -> int:
    return int(await engine.value(f"SELECT coalesce(max(length({column}::text)), 0) FROM {table}"))


async def test_what_is_recorded_while_a_value_is_stored_is_of_the_next_commit(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is written with whatever goes with it: a summary, the end of a sub-agent."""
    storing, go_on = asyncio.Event(), asyncio.Event()
    put, write = LocalBlobs.put, engine.worker.journal._write
    commits: list[list[str]] = []

    async def slow(*arguments: Any) -> None:
        storing.set()
        await go_on.wait()
        await put(*arguments)

    async def noted(rows: Rows, batches: Any) -> Any:
        commits.append([record[0] for body in rows.bodies for record in decode_records(body)])
        return await write(rows, batches)

    monkeypatch.setattr(LocalBlobs, "put", slow)
    monkeypatch.setattr(engine.worker.journal, "_write", noted)
    plan = plan_of({"src": ("items", {"value": [LARGE]}), "late": ("gated_zero", {"value": 0})}, [])
    running = asyncio.create_task(engine.run(plan))
    await storing.wait()
    (root,) = engine.worker.roots.values()
    engine.calls.gate.set()
    await until(lambda: root.main.machine.finished)
    go_on.set()
    assert (await running).status is Status.COMPLETED
    assert commits == [["begin", "end"], ["end", "close"]]


# --- what refers to a value ---


@pytest.mark.parametrize("queued", [True, False])
async def test_inputs_and_outputs_of_a_run_are_references_to_one_value(engine: Engine, queued: bool) -> None:
    inputs = {0: {"value": LARGE}}
    id = await (queue(engine, SAME, LARGE) if queued else engine.worker.submit(LOCAL_WORKSPACE, SAME, inputs))
    row = await engine.finished(id)
    assert row.status is Status.COMPLETED
    (name,) = files(engine)
    assert [each.digest for each in references([row.inputs, row.outputs])] == [name, name]
    assert await bytes_of(engine, "executions", "inputs") < 300
    assert await bytes_of(engine, "executions", "outputs") < 300
    assert await with_contents(row.outputs, LOCAL_WORKSPACE, engine.blobs) == [["o", LARGE]]


async def test_small_values_stand_in_their_row(engine: Engine) -> None:
    row = await engine.run(SAME, {0: {"value": ["small", float("inf")]}})
    assert (row.inputs, row.outputs) == ({"0": {"value": ["small", float("inf")]}}, [("o", ["small", float("inf")])])
    assert files(engine) == set()


async def test_inputs_of_a_sub_agent_are_references(engine: Engine) -> None:
    engine.agents.plans["child"] = plan_of(
        {"in": "input", "out": ("output", {"name": "o"})}, ["in > out.value"], id="child"
    )
    parent = plan_of({"in": "input", "sub": sub_agent("child")}, ["in > sub.value"])
    row = await engine.run(parent, {0: {"value": LARGE}})
    (child,) = await engine.children(row)
    assert len(list(references([child.inputs, child.outputs]))) == 2
    assert len(files(engine)) == 1


async def test_a_queued_run_whose_value_is_gone_ends_with_a_message(idle: Engine) -> None:
    await idle.start(capacity=0)
    id = await queue(idle, SAME, LARGE)
    for path in idle.blob_folder.rglob("?" * 64):
        path.unlink()
    await idle.start()
    row = await idle.finished(id)
    assert row.status is Status.FAILED
    assert "not stored here" in str(row.error)


async def test_a_rerun_with_a_large_edit_records_a_reference(engine: Engine) -> None:
    plan = chain("effect", "effect", first="small")
    row = await engine.run(plan)
    prepared = prepare_rerun(plan, await engine.records(row), [2], earlier=row.id, edits={"value": LARGE}, now_ms=1)
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {}, rerun=(row.id, prepared.records))
    again = await engine.finished(id)
    assert again.status is Status.COMPLETED
    assert {each.digest for each in references(await engine.records(again))} == files(engine)
    assert await engine.value("SELECT max(length(body)) FROM journal") < 2_000


# --- reviews ---


async def at_review(engine: Engine, value: Any = LARGE) -> ExecutionId:
    id = await engine.worker.submit(LOCAL_WORKSPACE, ASK, {0: {"value": value}})
    assert (await engine.finished(id, resting=True)).status is Status.REVIEW
    return id


async def test_what_is_asked_is_a_reference_and_the_rest_of_the_question_is_not(engine: Engine) -> None:
    id = await at_review(engine)
    assert await bytes_of(engine, "reviews", "payload") < 300
    asked = await engine.value("SELECT payload::text FROM reviews WHERE execution_id = $1", id)
    payload = unmarked(msgspec.json.decode(asked))
    assert isinstance(payload["data"], Reference)
    assert (payload["message"], payload["editable"]) == ("", True)
    assert len(files(engine)) == 1, "question, input and record are one value"


@pytest.mark.parametrize("crash", [False, True])
async def test_a_large_answer_is_a_reference_and_reaches_the_block(engine: Engine, crash: bool) -> None:
    id = await at_review(engine)
    await engine.worker.store.tell(LOCAL_WORKSPACE, id, "decision", "d", firing=2, payload={"data": OTHER})
    if crash:
        await engine.crash()
        await engine.start()
    row = await engine.finished(id)
    assert row.status is Status.COMPLETED
    assert await with_contents(row.outputs, LOCAL_WORKSPACE, engine.blobs) == [["o", OTHER]]
    assert await bytes_of(engine, "inbox", "payload") < 300
    assert await bytes_of(engine, "reviews", "decision") < 300
    assert sum([len(each["body"]) for each in await engine.connection.fetch("SELECT body FROM journal")]) < 5_000
    assert len(files(engine)) == 2


async def test_a_run_of_the_form_before_is_told_in_the_form_before(engine: Engine) -> None:
    """Its holder may be a worker of the release before, which knows no references there."""
    id = await at_review(engine)
    await engine.connection.execute("UPDATE executions SET format = 1 WHERE id = $1", id)
    await engine.worker.store.tell(LOCAL_WORKSPACE, id, "decision", "d", firing=2, payload={"data": OTHER})
    assert await engine.value("SELECT payload ->> 'data' FROM inbox") == OTHER
    row = await engine.finished(id)
    assert await with_contents(row.outputs, LOCAL_WORKSPACE, engine.blobs) == [["o", OTHER]]


async def test_an_answer_that_cannot_be_read_ends_the_run_and_is_not_taken_for_a_yes(idle: Engine) -> None:
    first = await idle.start()
    id = await at_review(idle)
    other = await at_review(idle, "small")
    idle.workers.remove(first)
    await first.close()
    waiting = await idle.start(capacity=0)
    await waiting.store.tell(LOCAL_WORKSPACE, id, "decision", "d", firing=2, payload={"data": OTHER})
    await waiting.store.tell(LOCAL_WORKSPACE, other, "decision", "d", firing=2, payload={"data": "fine"})
    (digest,) = [each.digest for each in references(await told(idle, id))]
    next(idle.blob_folder.rglob(digest)).unlink()
    await idle.start()
    row = await idle.finished(id)
    assert row.status is Status.FAILED
    assert "told cannot be read" in str(row.error)
    assert (await idle.finished(other)).outputs == [("o", "fine")]


async def told(engine: Engine, id: ExecutionId) -> Any:
    payload = await engine.value("SELECT payload FROM inbox WHERE root_id = $1", id)
    (digest, size) = msgspec.json.decode(payload)["data"]["$blob"]
    return [Reference(digest, size)]


async def test_a_question_that_is_no_data_fails_its_node(engine: Engine) -> None:
    row = await engine.run(plan_of({"ask": "odd_question"}))
    assert row.status is Status.FAILED
    assert "no JSON form" in str(row.error)


# --- sweeping ---


async def make_old(engine: Engine) -> None:
    for path in engine.blob_folder.rglob("?" * 64):
        await asyncio.to_thread(os.utime, path, (0, 0))


async def test_values_that_only_rows_refer_to_are_not_swept(idle: Engine) -> None:
    worker = await idle.start()
    row = await idle.run(SAME, {0: {"value": LARGE}})
    asking = await at_review(idle, OTHER)
    idle.workers.remove(worker)
    await worker.close()
    await idle.start(capacity=0)
    queued = await queue(idle, SAME, "queued " * 40_000)
    store = idle.worker.store
    await store.tell(LOCAL_WORKSPACE, asking, "decision", "d", firing=2, payload={"data": "answer " * 40_000})
    await idle.connection.execute("DELETE FROM journal")
    await idle.connection.execute("UPDATE executions SET inputs = '{}' WHERE id = ANY ($1)", [row.id, asking])
    await make_old(idle)
    assert len(files(idle)) == 4
    for statement, left in (
        ("SELECT 1", 4),
        (f"UPDATE executions SET inputs = '{{}}' WHERE id = '{queued}'", 3),
        (f"UPDATE executions SET outputs = '[]' WHERE id = '{row.id}'", 2),
        ("UPDATE reviews SET payload = '{}'", 1),
        ("UPDATE inbox SET payload = '{}'", 1),
        ("UPDATE reviews SET decision = NULL", 0),
    ):
        await idle.connection.execute(statement)
        await sweep_blobs(idle.urls.engine, idle.blob_folder)
        assert len(files(idle)) == left, statement


# --- replacing ---


class Kept:
    """Blobs in memory; counts what is stored."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.puts = 0

    async def put(self, workspace: WorkspaceId, digest: str, content: bytes) -> None:
        self.puts += 1
        self.contents[digest] = content

    async def get(self, workspace: WorkspaceId, digest: str) -> bytes:
        if digest not in self.contents:
            raise NotFound(f"There is no {digest}.")
        return self.contents[digest]

    async def read(self, workspace: WorkspaceId, digest: str) -> AsyncGenerator[bytes, None]:
        yield await self.get(workspace, digest)


class Writes:
    def __init__(self) -> None:
        self.before: list[Awaitable[None]] = []
        self.stored = 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=8))
async def test_what_is_replaced_comes_back_and_is_stored_once(mappings: list[dict[str, Any]]) -> None:
    kept, writes = Kept(), Writes()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(large, "LIMIT", 24)
        patched.setattr(large, "_REMEMBERED", 2)
        values = LargeValues(LOCAL_WORKSPACE, kept)
        recorded = [values.recorded(each, writes) for each in mappings * 2]
    for put in writes.before:
        await put
    assert await with_contents(recorded, LOCAL_WORKSPACE, kept) == mappings * 2
    assert kept.puts == len(kept.contents)
    assert writes.stored == sum(map(len, kept.contents.values()))
    assert {each.digest for each in references(recorded)} == set(kept.contents)


async def test_remembering_values_does_not_keep_too_many_bytes() -> None:
    kept, writes = Kept(), Writes()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(large, "_REMEMBERED_BYTES", 1_000_000)
        values = LargeValues(LOCAL_WORKSPACE, kept)
        given = [f"{number} " * 100_000 for number in range(20)]
        for _ in range(3):
            values.recorded_payload({"all": given[0], "each": given[-1]}, writes)
            for each in given:
                values.recorded_value(each, writes)
        assert sum(len(value) for value, _ in values._known.values()) <= 1_000_000
    for put in writes.before:
        await put
    assert kept.puts == 20
