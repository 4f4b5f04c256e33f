"""The test kit keeps the contracts that it stands in for."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from treadle.base.clock import Clock
from treadle.base.ids import GraphId, NodeId
from treadle.sdk.block import Block, Example, Stream, block
from treadle.sdk.context import Agents, Compute, Context, Decision, Files, Http, Storage, Suspend, Tool, Tools
from treadle.sdk.errors import BlockError, InputRefused
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.testing import (
    AgentScript,
    FrozenClock,
    InProcessCompute,
    MemoryStorage,
    ScratchFiles,
    ScriptedAgents,
    ScriptedHttp,
    ScriptedReply,
    ScriptedTools,
    SentRequest,
    attempt,
    check_example,
    make_context,
    run_block,
)


class In(Inputs):
    text: str = pin("Text.")
    count: int = pin("Count.", default=1)


class Out(Outputs):
    result: str = pin("Result.")


@block(id="b-1", name="RepeatBlock", outputs=Out)
async def repeat(inputs: In, ctx: Context) -> Stream:
    """Sends the text as often as asked."""
    for _ in range(inputs.count):
        yield "result", inputs.text
    if inputs.text == "fail":
        raise BlockError("told to")
    if inputs.text == "error":
        yield "error", "sent"


@block(id="b-2", name="WaitBlock", outputs=Out)
async def wait(inputs: In, ctx: Context) -> Stream:
    """Waits a minute, durably, between two outputs."""
    yield "result", "before"
    ctx.wait_until(ctx.clock.now() + timedelta(seconds=60), "payload")
    yield "result", f"after {ctx.resume}"


@block(id="b-3", name="AskBlock", outputs=Out)
async def ask(inputs: In, ctx: Context) -> Stream:
    """Sends what a person decides."""
    decision = ctx.review(inputs.text)
    yield "result", f"{decision.approved} {decision.data}"


def example(target: Block, **parts: Any) -> Example:
    return Example(inputs={"text": "a"}, **{"outputs": [("result", "a")], **parts})


async def test_outputs_come_in_order_through_the_reader() -> None:
    assert await run_block(repeat, {"text": 5, "count": "2"}) == [("result", "5"), ("result", "5")]


async def test_failures_are_raised() -> None:
    with pytest.raises(InputRefused):
        await run_block(repeat, {})
    with pytest.raises(BlockError, match="told to"):
        await run_block(repeat, {"text": "fail"})
    with pytest.raises(BlockError, match="sent"):
        await run_block(repeat, {"text": "error"})


async def test_outputs_before_a_failure_are_kept() -> None:
    outcome = await attempt(repeat, {"text": "fail"}, make_context())
    assert (outcome.outputs, str(outcome.error)) == ([("result", "fail")], "told to")


async def test_durable_waits_end_at_once_and_are_noted() -> None:
    context = make_context()
    assert await run_block(wait, {"text": ""}, context) == [("result", "before"), ("result", "after payload")]
    assert getattr(context.sleep, "seconds", None) == [60.0]


async def test_a_review_suspends_until_there_is_a_decision() -> None:
    with pytest.raises(Suspend):
        await run_block(ask, {"text": "a"})
    assert await run_block(ask, {"text": "a"}, make_context(decision=Decision(False, 2))) == [("result", "False 2")]


async def test_examples_are_checked() -> None:
    await check_example(repeat, example(repeat))
    await check_example(repeat, Example({"text": "fail"}, [("result", "fail"), ("error", "told to")]))
    with pytest.raises(AssertionError, match="promised"):
        await check_example(repeat, example(repeat, outputs=[("result", "b")]))
    with pytest.raises(AssertionError, match="review"):
        await check_example(ask, example(ask))
    with pytest.raises(AssertionError, match="0 of 1 requests"):
        await check_example(repeat, example(repeat, context={"http": [lambda request: ""]}))


def test_the_fakes_have_the_forms_that_blocks_see() -> None:
    fakes: tuple[Http, Storage, Files, Compute, Agents, Tools, Clock] = (
        ScriptedHttp(),
        MemoryStorage(),
        ScratchFiles(),
        InProcessCompute(),
        ScriptedAgents(),
        ScriptedTools(),
        FrozenClock(),
    )
    context = make_context()
    given = (context.http, context.storage, context.files, context.compute, context.agents, context.tools)
    assert [type(each) for each in (*given, context.clock)] == [type(each) for each in fakes]


def test_a_frozen_clock_moves_only_when_told() -> None:
    clock = FrozenClock("2026-03-01T02:30:00+01:00")
    assert (clock.now().isoformat(), clock.monotonic()) == ("2026-03-01T01:30:00+00:00", 0.0)
    clock.advance(5)
    assert (clock.now().isoformat(), clock.monotonic()) == ("2026-03-01T01:30:05+00:00", 5.0)


async def test_http_is_scripted() -> None:
    def first(request: SentRequest) -> Any:
        assert (request.method, request.params) == ("GET", {"q": 1})
        return {"a": 1}

    http = ScriptedHttp([first, lambda request: ScriptedReply("no", 404, {"x": "y"}), lambda request: "x" * 9])
    reply = await http.request("GET", "https://example.com/", params={"q": 1})
    assert (reply.status, reply.json(), reply.url) == (200, {"a": 1}, "https://example.com/")
    async with httpx.AsyncClient(transport=http.transport) as client:
        answer = await client.post("https://example.com/p", content=b"in")
    assert (answer.status_code, answer.text, answer.headers["x"]) == (404, "no", "y")
    assert (http.sent[1].method, http.sent[1].content) == ("POST", b"in")
    with pytest.raises(BlockError, match="larger"):
        await http.request("GET", "https://example.com/", max_bytes=8)
    http.assert_finished()
    with pytest.raises(AssertionError, match="no handler"):
        await http.request("GET", "https://example.com/")


async def test_files_stay_in_their_folder() -> None:
    files = ScratchFiles({"a.txt": "hey"})
    assert await files.store("a.txt", return_content=True) == "data:text/plain;base64,aGV5"
    name = await files.store("data:application/json;base64,e30=")
    assert (name.endswith(".json"), await files.read(name)) == (True, b"{}")
    outside = await files.write("../../x", b"1")
    assert Path(files.path(outside)).parent == files.folder
    for bad in ("../a.txt", "missing", "..", "data:text/plain,x"):
        with pytest.raises(BlockError):
            await files.store(bad)


async def test_the_folder_goes_with_the_files() -> None:
    files = ScratchFiles({"a": "b"})
    folder = files.folder
    del files
    assert not folder.exists()


async def test_files_are_fetched_through_the_scripted_client() -> None:
    context = make_context(http=[lambda request: b"body"])
    assert await context.files.store("https://example.com/dir/a.bin?x=1") == "a.bin"
    assert await context.files.read("a.bin") == b"body"


async def test_agents_and_tools_are_scripted_and_recorded() -> None:
    tool = Tool(NodeId("n"), "add", "Adds.", {}, {})
    context = make_context(
        agents={"g": AgentScript([("r", 1)], failure="stopped")},
        tools=[(tool, lambda arguments: [("sum", arguments["a"] + 1)])],
    )
    run = await context.agents.start(GraphId("g"), 1, {"q": 1})
    assert await context.agents.start(GraphId("g"), 1, {"q": 1}) is run
    got = []
    with pytest.raises(BlockError, match="stopped"):
        async for each in run.outputs():
            got.append(each)
    assert got == [("r", 1)]
    with pytest.raises(BlockError, match="no agent"):
        await context.agents.start(GraphId("other"), 1, {}, slot=1)
    assert await context.tools.call(context.tools.list()[0], {"a": 1}, slot=0) == [("sum", 2)]


async def test_storage_and_compute() -> None:
    context = make_context(storage={"k": 1})
    await context.storage.set("t", "a\x00b")
    assert (await context.storage.get("k"), await context.storage.get("t"), await context.storage.get("no")) == (
        1,
        "ab",
        None,
    )
    assert await context.compute.call("json:loads", "[1]") == [1]
    with pytest.raises(BlockError, match="JSONDecodeError"):
        await context.compute.call("json:loads", "[")
