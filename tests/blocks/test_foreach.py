"""For each: order, concurrency, failures, stopping early, and going on after a crash."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.ids import ExecutionId, GraphId
from treadle.blocks.foreach import for_each
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import attempt, make_context, run_block


class Doubling:
    """An agent that doubles its input ``n``; fails on ``bad`` numbers; says ``stop`` on ``last``."""

    def __init__(self, *, bad: frozenset[int] = frozenset(), last: int | None = None, yields: int = 0) -> None:
        self.bad, self.last, self.yields = bad, last, yields
        self.started: list[int] = []
        self.running = self.most = 0

    async def start(
        self, graph: GraphId, version: int | None, inputs: Mapping[str, Any], *, slot: int = 0
    ) -> "DoublingRun":
        assert (graph, version, inputs["other"]) == ("child", 7, "x")
        self.started.append(slot)
        return DoublingRun(self, inputs["n"], slot)

    async def schemas(self, graph: GraphId, version: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}


class DoublingRun:
    def __init__(self, agent: Doubling, number: int, slot: int) -> None:
        self.agent, self.number, self.execution = agent, number, ExecutionId(UUID(int=slot))

    async def outputs(self) -> AsyncIterator[tuple[str, Any]]:
        self.agent.running += 1
        self.agent.most = max(self.agent.most, self.agent.running)
        try:
            for _ in range(self.agent.yields * (self.number % 3)):
                await asyncio.sleep(0)
            if self.number in self.agent.bad:
                raise BlockError("bad number")
            yield "double", self.number * 2
            yield "stop", self.number == self.agent.last
        finally:
            self.agent.running -= 1


def node(items: list[int], **changes: Any) -> dict[str, Any]:
    common = {"graph_id": "child", "graph_version": 7, "input_name": "n", "inputs": {"other": "x"}}
    return {"items": items, "output_name": "double", **common, **changes}


@given(st.lists(st.integers(0, 20), max_size=30), st.frozensets(st.integers(0, 20)), st.integers(1, 6))
async def test_results_are_in_order_and_failures_are_collected(
    items: list[int], bad: frozenset[int], concurrency: int
) -> None:
    agents = Doubling(bad=bad, yields=2)
    outputs = await run_block(for_each, node(items, concurrency=concurrency), make_context(agents=agents))
    good = [item * 2 for item in items if item not in bad]
    assert outputs[:-2] == [("result", each) for each in good]
    assert outputs[-2:] == [
        ("results", [None if item in bad else item * 2 for item in items]),
        ("errors", [{"index": at, "error": "bad number"} for at, item in enumerate(items) if item in bad]),
    ]
    assert sorted(agents.started) == list(range(len(items)))
    assert agents.most <= concurrency
    assert agents.running == 0


async def test_several_run_at_once() -> None:
    agents = Doubling(yields=3)
    await run_block(for_each, node(list(range(10)), concurrency=4), make_context(agents=agents))
    assert agents.most == 4


@given(st.integers(0, 8))
async def test_going_on_after_a_crash(emitted: int) -> None:
    whole = await run_block(for_each, node([1, 2, 3, 4, 5, 6]), make_context(agents=Doubling(bad=frozenset({2}))))
    context = make_context(agents=Doubling(bad=frozenset({2})), emitted=emitted)
    assert await run_block(for_each, node([1, 2, 3, 4, 5, 6]), context) == whole[emitted:]


async def test_the_first_failure_can_end_the_step() -> None:
    agents = Doubling(bad=frozenset({3}), yields=1)
    outcome = await attempt(for_each, node(list(range(100)), continue_on_error=False), make_context(agents=agents))
    assert outcome.outputs == [("result", 0), ("result", 2), ("result", 4)]
    assert outcome.error is not None
    assert "bad number" in outcome.error.message
    assert len(agents.started) < 100
    assert agents.running == 0


async def test_stopping_early() -> None:
    agents = Doubling(last=3, yields=1)
    outputs = await run_block(for_each, node(list(range(100)), stop_when="stop"), make_context(agents=agents))
    assert outputs[-2:] == [("results", [0, 2, 4, 6]), ("errors", [])]
    assert len(agents.started) < 100
    assert agents.running == 0


async def test_what_ran_when_it_was_stopped_early_is_left_out_also_when_it_fails() -> None:
    agents = Doubling(bad=frozenset({5}), last=3, yields=3)
    items = node(list(range(100)), stop_when="stop", continue_on_error=False)
    outputs = await run_block(for_each, items, make_context(agents=agents))
    assert 5 in agents.started
    assert outputs[-2:] == [("results", [0, 2, 4, 6]), ("errors", [])]
    assert agents.running == 0


async def test_all_outputs_without_a_name() -> None:
    outputs = await run_block(for_each, node([1], output_name=""), make_context(agents=Doubling()))
    assert outputs[0] == ("result", {"double": 2, "stop": False})


async def test_being_stopped_does_not_wait_for_the_agents() -> None:
    agents = Doubling(yields=10**9)
    task = asyncio.create_task(run_block(for_each, node([1, 2]), make_context(agents=agents)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert agents.running == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert agents.running == 0
