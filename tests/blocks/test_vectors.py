"""Every block behaves as recorded, but where a decision says otherwise; and the comparison itself can fail."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from tests.blocks.vectors import block_vectors, compare, decode, mended_vids, run_vector, same
from tests.shared_files import VECTORS, needs_shared
from treadle.base.ids import GraphId
from treadle.blocks.agents import run_agent
from treadle.kernel.values import coercer
from treadle.sdk.block import Block
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import AgentScript, Outcome, RecordedSleep, ScriptedAgents, make_context


@needs_shared(VECTORS)
@pytest.mark.parametrize(
    ("block", "vector"), [pytest.param(block, vector, id=vector["vid"]) for block, vector in block_vectors()]
)
async def test_recorded_behaviour(block: Block, vector: Mapping[str, Any]) -> None:
    result = await run_vector(block, vector)
    assert not any(problem.startswith("crashed") for problem in result.problems), result.problems
    if vector["vid"] in mended_vids():
        assert result.problems, "listed as mended, yet matches the record"
    else:
        assert not result.problems, f"input {vector['input']}: {result.problems}"


def test_the_table_of_decisions_is_read() -> None:
    assert "coercion/005" in mended_vids()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ({"$repeat": ["ab", 2]}, "abab"),
        ({"$range": 3}, [0, 1, 2]),
        ({"$pairs": [[1, "a"]]}, {1: "a"}),
        ({"$bigint": "12"}, 12),
        ({"$float": "-Infinity"}, -math.inf),
        ({"$tuple": [1, {"$float": "Infinity"}]}, (1, math.inf)),
        ({"$set": [1]}, {1}),
        ({"$object": {"a": 1}}, {"a": 1}),
        ({"$surrogates": "\\ud83d"}, "\ud83d"),
        ([{"k": {"$range": 1}}], [{"k": [0]}]),
        ({"$unknown": 1}, {"$unknown": 1}),
    ],
)
def test_special_values(written: Any, value: Any) -> None:
    assert decode(json.loads(json.dumps(written))) == value
    assert same(written, value)


@pytest.mark.parametrize(
    ("recorded", "got"),
    [
        (1, True),
        (1, 1.0),
        (1.0, 1),
        ("1", 1),
        (None, 0),
        ([1], [1, 2]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"$match": "^a$"}, "b"),
        ({"$float": "NaN"}, 1.0),
        ({"$longlist": {"length": 3, "first": [1], "last": [3]}}, [1, 2, 4]),
        ({"$longlist": {"length": 3, "first": [1], "last": [3]}}, [1, 3]),
        ({"$longstr": {"length": 1, "sha256": "0" * 64}}, "a"),
        ({"$set": [1, 2]}, {1}),
        ({"$type": "callable"}, 5),
    ],
)
def test_what_differs_is_seen(recorded: Any, got: Any) -> None:
    assert not same(recorded, got)


@pytest.mark.parametrize(
    ("recorded", "got"),
    [
        ({"$float": "NaN"}, math.nan),
        ({"$match": "^a"}, "ab"),
        ({"$longlist": {"length": 3, "first": [1], "last": [3]}}, [1, 2, 3]),
        ([1, {"$tuple": [2]}], [1, [2]]),
        ({"$type": "callable"}, coercer),
    ],
)
def test_what_is_the_same_is_seen(recorded: Any, got: Any) -> None:
    assert same(recorded, got)


def test_numbers_of_media_may_differ_a_little() -> None:
    assert same([1.0], [1.05], tolerance=0.06)
    assert not same([1.0], [1.07], tolerance=0.06)


RECORD: dict[str, Any] = {"vid": "x/1", "input": {}, "outputs": [["a", 1], ["b", 2]], "error": None, "compare": "exact"}
AGENT_RECORD: dict[str, Any] = {
    **RECORD,
    "node_constants": {"graph_id": "child", "graph_version": 3, "inputs": {}, "input_schema": {}, "output_schema": {}},
}


@pytest.mark.parametrize(
    ("changes", "outputs", "right"),
    [
        ({}, [("a", 1), ("b", 2)], True),
        ({}, [("b", 2), ("a", 1)], False),
        ({"compare": "unordered"}, [("b", 2), ("a", 1)], True),
        ({"compare": "random"}, [("a", 7), ("b", 9)], True),
        ({"compare": "random"}, [("b", 7), ("a", 9)], False),
        ({"truncated": {"events": 3, "last": [["c", 3]]}}, [("a", 1), ("b", 2), ("c", 3)], True),
        ({"truncated": {"events": 3, "last": [["c", 3]]}}, [("a", 1), ("b", 2), ("c", 4)], False),
        ({"truncated": {"events": 4, "last": [["c", 3]]}}, [("a", 1), ("b", 2), ("c", 3)], False),
        ({"stored_after": {}}, [("a", 1), ("b", 2)], True),
        ({"stored_after": {"k": 1}}, [("a", 1), ("b", 2)], False),
        ({"error": "Rejected: no", "stage": "validation"}, [("a", 1), ("b", 2)], False),
    ],
)
def test_comparing_outputs(changes: dict[str, Any], outputs: list[tuple[str, Any]], right: bool) -> None:
    problems = list(compare({**RECORD, **changes}, Outcome(outputs), make_context()))
    assert (not problems) == right


def test_comparing_failures() -> None:
    record = {**RECORD, "outputs": [["a", 1]], "error": "BlockExecutionError: no", "stage": "run"}
    failed = Outcome([("a", 1)], BlockError("no"))
    assert list(compare(record, failed, make_context())) == []
    assert len(list(compare({**record, "error": None}, failed, make_context()))) == 1


async def test_a_recorded_child_run_sends_the_outputs_of_each_ended_output_node_once() -> None:
    told = {"kind": "node_execution_update", "status": "COMPLETED", "is_output_node": True}
    first = {**told, "node_run": "1", "name": "r", "outputs": {"output": ["A", None], "name": ["r"]}}
    events = [
        {**first, "status": "RUNNING"},
        first,
        {**told, "node_run": "2", "name": "s", "outputs": {"output": [1]}},
        first,
        {**told, "node_run": "3", "name": "t", "outputs": {"output": [2]}, "is_output_node": False},
        {**told, "node_run": "4", "name": "", "outputs": {"output": [3]}},
        {"kind": "graph_execution_update", "status": "COMPLETED"},
    ]
    vector = {**AGENT_RECORD, "child_events": events, "outputs": [["r", "A"], ["r", None], ["s", 1]]}
    assert (await run_vector(run_agent, vector)).problems == ()
    failed = {**vector, "child_events": [*events[:-1], {"kind": "graph_execution_update", "status": "FAILED"}]}
    [problem] = (await run_vector(run_agent, failed)).problems
    assert "FAILED" in problem


async def test_comparing_waits_and_sub_agents() -> None:
    record = {**RECORD, "outputs": [], "context": {"sleep": "simulated"}, "waits_seconds": [5]}
    sleep, agents = RecordedSleep(), ScriptedAgents({"g": AgentScript()})
    context = make_context(sleep=sleep, agents=agents)
    assert len(list(compare(record, Outcome([]), context))) == 1
    await sleep(5.0)
    assert list(compare(record, Outcome([]), context)) == []
    called = {**record, "child_call": {"graph_id": "g", "graph_version": 2, "inputs": {"q": 1}, "masks": None}}
    assert len(list(compare(called, Outcome([]), context))) == 1
    await context.agents.start(GraphId("g"), 2, {"q": 1})
    assert list(compare(called, Outcome([]), context)) == []
