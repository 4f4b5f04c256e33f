"""Models that decide, through the whole platform: agent file, engine, tools, journal, and a scripted provider."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.e2e.deciding import (
    AGENT,
    CALCULATE,
    DECIDE,
    FILL,
    INPUT,
    MODEL,
    OUTPUT,
    PATIENCE,
    REVIEW,
    agent,
    completed,
    deciding_platform,
    finished,
    node,
    run,
    start,
)
from tests.e2e.platforms import outputs_of
from tests.engine.harness import crash, until
from tests.sdk.models.servers import Answer, Hang, ProviderServer, Say
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId
from treadle.engine.view import FiringView
from treadle.engine.worker import Worker
from treadle.features.executions.reviews import Decision
from treadle.kernel.states import Status
from treadle.main.wiring import Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")
WRITE = "1f292d4a-41a4-4977-9684-7c8d560b9f91"
World = tuple[Platform, ProviderServer]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform_and_server() -> AsyncIterator[World]:
    async with deciding_platform() as world:
        yield world


@pytest.fixture
def world(platform_and_server: World) -> World:
    """The platform, with a server that has seen nothing yet."""
    _, server = platform_and_server
    server.seen.clear()
    server.answers.clear()
    return platform_and_server


def decider(**constants: Any) -> dict[str, Any]:
    return node("decide", DECIDE, model=MODEL, prompt="What is 2+3?", retry=2, **constants)


ADD = node("add", CALCULATE, "Add", operation="Add")
RESULT = node("out", OUTPUT, name="answer")
TO_ADD = ("decide.tools > add.a", "decide.tools > add.b")
ANSWER = "decide.finished > out.value"
LOOP_PINS = ("decide.conversations > decide.conversation_history", "add.result > decide.last_tool_output")
CALL = ("add", '{"a": 2, "b": 3}')


async def views(platform: Platform, id: ExecutionId, name: str) -> list[FiringView]:
    return [each for each in (await platform.executions.firings(LOCAL_WORKSPACE, id)).firings if each.node == name]


def told(server: ProviderServer, turn: int) -> Any:
    """What the tool said that the model reads in a turn (from 0)."""
    return json.loads(server.bodies[turn]["messages"][-1]["content"])


def functions(server: ProviderServer) -> dict[str, Any]:
    return {each["function"]["name"]: each["function"] for each in server.bodies[0]["tools"]}


# --- deciding once ---


async def test_one_decision_goes_to_the_right_node_and_its_result_comes_back(world: World) -> None:
    platform, server = world
    server.will(Say(calls=[CALL]), Say("It is 5."))
    other = node("other", CALCULATE, "Multiply", operation="Multiply")
    joined = (*TO_ADD, "decide.tools > other.a", "decide.tools > other.b", *LOOP_PINS, ANSWER)
    row = await completed(platform, agent([decider(), ADD, other, RESULT], joined))
    assert outputs_of(row) == {"answer": "It is 5."}
    [added] = await views(platform, row.id, "add")
    assert (added.inputs["a"], added.inputs["b"], added.outputs) == (2, 3, [("result", 5.0)])
    assert added.caller is None
    assert await views(platform, row.id, "other") == []
    assert [each["role"] for each in server.bodies[1]["messages"]] == ["system", "user", "assistant", "tool"]
    assert told(server, 1) == 5.0


async def test_old_links_that_name_the_tool_are_tool_links_too(world: World) -> None:
    platform, server = world
    server.will(Say(calls=[CALL]), Say("It is 5."))
    joined = ("decide.tools_^_calculator_~_a > add.a", "decide.tools_^_calculator_~_b > add.b", *LOOP_PINS, ANSWER)
    row = await completed(platform, agent([decider(), ADD, RESULT], joined))
    assert outputs_of(row) == {"answer": "It is 5."}


async def test_several_decisions_follow_each_other(world: World) -> None:
    platform, server = world
    server.will(*[Say(calls=[("add", f'{{"a": {number}, "b": 1}}')]) for number in range(5)], Say("Counted."))
    row = await completed(platform, agent([decider(), ADD, RESULT], (*TO_ADD, *LOOP_PINS, ANSWER)))
    assert outputs_of(row) == {"answer": "Counted."}
    assert [each.outputs for each in await views(platform, row.id, "add")] == [
        [("result", float(number + 1))] for number in range(5)
    ]
    assert len(server.bodies[-1]["messages"]) == 2 + 5 * 2


# --- deciding in a loop ---


def shouting() -> dict[str, Any]:
    """A sub-agent with one input and one output."""
    nodes = [
        node("text", INPUT, name="text"),
        node("fill", FILL, format="{{ text|upper }}!"),
        node("loud", OUTPUT, name="loud"),
    ]
    return agent(nodes, ("text.result > fill.values_#_text", "fill.output > loud.value"))


def shout_tool(sub: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    given = {"graph_id": sub["id"], "graph_version": 1, "agent_name": "Shout it!", "input_schema": schema}
    return node("shout", AGENT, **given, output_schema={"type": "object", "properties": {"loud": {}}})


async def test_a_loop_uses_tools_and_sub_agents_and_the_model_reads_what_went_wrong(world: World) -> None:
    platform, server = world
    sub = shouting()
    server.will(
        Say(calls=[CALL]),
        Say(calls=[("shout_it_", '{"text": "five"}')]),
        Say(calls=[("add", '{"a": "two", "b": 3}')]),
        Say(calls=[("fail", '{"values___x": "1"}')]),
        Say(calls=[("remove_everything", "{}")]),
        Say("FIVE!"),
    )
    failing = node("fail", FILL, "Fail", format="{{ x|no_such_filter }}")
    joined = (*TO_ADD, "decide.tools > shout.text", "decide.tools > fail.values_#_x", ANSWER)
    nodes = [decider(agent_mode_max_iterations=8), ADD, shout_tool(sub), failing, RESULT]
    row = await completed(platform, agent(nodes, joined, subs=[sub]))
    assert outputs_of(row) == {"answer": "FIVE!"}
    assert told(server, 1) == {"result": 5.0}
    assert told(server, 2) == {"loud": "FIVE!"}
    assert "two" in told(server, 3)["error"]
    assert "no_such_filter" in told(server, 4)["error"]
    assert "there is no tool 'remove_everything'" in told(server, 5)["error"]
    [deciding] = await views(platform, row.id, "decide")
    assert deciding.status == "completed"
    tools = {
        each.node: each for each in (await platform.executions.firings(LOCAL_WORKSPACE, row.id)).firings if each.caller
    }
    assert {name: (each.caller, each.status) for name, each in tools.items()} == {
        "add": ((deciding.number, 0), "completed"),
        "shout": ((deciding.number, 1), "completed"),
        "fail": ((deciding.number, 2), "failed"),
    }
    family = await platform.executions.family(LOCAL_WORKSPACE, row.id)
    assert [each.status for each in family] == [Status.COMPLETED] * 2


async def test_a_loop_that_asks_only_for_nonsense_fails(world: World) -> None:
    platform, server = world
    server.will(*[Say(calls=[("format_disk", "{}")])] * 2)
    row = await run(platform, agent([decider(agent_mode_max_iterations=-1), ADD, RESULT], (*TO_ADD, ANSWER)))
    assert row.status is Status.FAILED
    assert "The model asked 2 times in a row for what no tool can do" in row.error
    assert await views(platform, row.id, "add") == []


@pytest.mark.parametrize("end", ["completed", "failed", "stopped"])
async def test_no_answer_of_a_model_stays_behind(world: World, end: str) -> None:
    platform, server = world
    nonsense = Say(calls=[("format_disk", "{}")])
    ends: dict[str, list[Answer]] = {"completed": [Say("Done.")], "failed": [nonsense] * 2, "stopped": [Hang()]}
    last = ends[end]
    server.will(Say(calls=[CALL]), *last)
    document = agent([decider(agent_mode_max_iterations=9), ADD, RESULT], (*TO_ADD, ANSWER))
    id = await start(platform, document)
    await until(lambda: len(server.seen) > len(last), PATIENCE)
    if end == "stopped":
        await platform.executions.stop(LOCAL_WORKSPACE, id)
    row = await finished(platform, id)
    expected = {"completed": Status.COMPLETED, "failed": Status.FAILED, "stopped": Status.TERMINATED}
    assert row.status is expected[end]
    connection = await asyncpg.connect(platform.urls.engine)
    try:
        assert await connection.fetchval("SELECT count(*) FROM stored_values") == 0
    finally:
        await connection.close()


# --- a worker that dies ---


async def test_after_a_crash_neither_answers_nor_ended_tools_are_repeated() -> None:
    async with deciding_platform(works=False) as (platform, server):
        first, second = (Worker(platform.urls.engine, platform.worker._services) for _ in range(2))
        await first.start()
        write = node("write", WRITE, "Write", model=MODEL)
        joined = (*TO_ADD, "decide.tools > write.prompt", ANSWER)
        document = agent([decider(agent_mode_max_iterations=9), ADD, write, RESULT], joined)
        server.will(Say(calls=[CALL]), Say(calls=[("write", '{"prompt": "a poem"}')]), Hang())
        id = await start(platform, document)
        await until(lambda: len(server.seen) == 3, PATIENCE)  # the tool that writes has no answer yet
        await crash(first)
        server.will(Say("Roses."), Say("The poem is written."))
        await second.start()
        connection = await asyncpg.connect(platform.urls.engine)
        await connection.execute("UPDATE workers SET expires_at = '-infinity' WHERE id = $1", first.id)
        await connection.close()
        try:
            row = await asyncio.wait_for(second.finished(LOCAL_WORKSPACE, id), PATIENCE)
            assert (row.status, outputs_of(row)) == (Status.COMPLETED, {"answer": "The poem is written."})
            assert len(server.seen) == 5
            assert [len(await views(platform, id, name)) for name in ("decide", "add", "write")] == [1, 1, 1]
            last = server.bodies[-1]["messages"]
            assert [each["role"] for each in last[2:]] == ["assistant", "tool", "assistant", "tool"]
            assert next(json.loads(each["content"]) for each in last if each["role"] == "tool") == {"result": 5.0}
        finally:
            await second.close()


# --- a tool that asks a person ---


async def test_a_tool_that_asks_for_review_holds_no_worker(world: World) -> None:
    platform, server = world
    server.will(Say(calls=[CALL]), Say(calls=[("ask_a_person", '{"data": "5?"}')]))
    ask = node("ask", REVIEW, "Ask a person", name="Is that right?")
    joined = (*TO_ADD, "decide.tools > ask.data", ANSWER)
    document = agent([decider(agent_mode_max_iterations=9), ADD, ask, RESULT], joined)
    id = await start(platform, document)
    row = await finished(platform, id, resting=True)
    assert row.status is Status.REVIEW
    assert platform.worker.roots == {}
    [review] = await platform.executions.reviews.of_run(LOCAL_WORKSPACE, id, only_waiting=True)
    assert (review.node_id, review.payload["data"]) == ("ask", "5?")
    server.will(Say("Approved."))
    decision = Decision(id, review.firing, approved=True, data="5!", message="Yes.")
    await platform.executions.reviews.decide(LOCAL_WORKSPACE, decision)
    row = await finished(platform, id)
    assert (row.status, outputs_of(row)) == (Status.COMPLETED, {"answer": "Approved."})
    assert told(server, 2) == {"approved_data": "5!", "review_message": "Yes."}
    assert len(server.seen) == 3
    assert len(await views(platform, id, "add")) == 1


# --- tools as functions ---


async def test_tools_have_names_of_their_own_and_linked_pins_as_parameters(world: World) -> None:
    platform, server = world
    server.will(
        Say(calls=[("add_2", '{"a": 2, "b": 3}')]), Say(calls=[("weather", '{"values___city": "Oslo"}')]), Say("5")
    )
    twin = node("twin", CALCULATE, "Add", operation="Multiply")
    weather = node("weather", FILL, "Weather", format="Rain in {{city}}")
    joined = (*TO_ADD, "decide.tools > twin.a", "decide.tools > twin.b", "decide.tools > weather.values_#_city", ANSWER)
    nodes = [decider(agent_mode_max_iterations=5), ADD, twin, weather, RESULT]
    row = await completed(platform, agent(nodes, joined))
    offered = functions(server)
    assert sorted(offered) == ["add", "add_2", "weather"]
    assert offered["add"]["parameters"]["required"] == ["a", "b"]
    assert set(offered["weather"]["parameters"]["properties"]) == {"values___city"}
    assert [each.outputs for each in await views(platform, row.id, "twin")] == [[("result", 6.0)]]
    assert await views(platform, row.id, "add") == []
    assert told(server, 2) == {"output": "Rain in Oslo"}
