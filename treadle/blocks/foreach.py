"""Running an agent for each element of a list."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from treadle.base.ids import GraphId
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

MOST_ITEMS = 100_000
_LOOKAHEAD = 4
"""How many times ``concurrency`` items may be under way or waiting for an earlier one."""


class EachItem(Inputs):
    """Pins of For Each."""

    items: list[Any] = pin("The list.")
    graph_id: str = pin("Which agent is run for each element.")
    graph_version: int | None = pin("Which version of it; the active one when empty.", default=None, advanced=False)
    input_name: str = pin("Which input of the agent is given the element.")
    inputs: dict[str, Any] = pin("Values for the agent's other inputs, by name.", default_factory=dict, advanced=False)
    output_name: str = pin("Which output of the agent is the result; all of them when empty.", default="")
    concurrency: int = pin("How many run at the same time.", default=5, ge=1, le=100)
    continue_on_error: bool = pin("Go on when the agent fails for an element; else this step fails.", default=True)
    stop_when: str = pin(
        "Name of an output of the agent: when its value says yes, no later element is run.", default=""
    )


class EachResult(Outputs):
    """What the agent gave back for the elements."""

    result: Any = pin(
        "For each element, in order, what the agent gave back: an object by output name, or the one output that "
        "output_name says. An output that was sent several times is the list of its values."
    )
    results: list[Any] = pin("All results, in the order of the elements; null where the agent failed.")
    errors: list[dict[str, Any]] = pin("The failures: index of the element, and why.")


@dataclass(frozen=True, slots=True)
class _Done:
    outputs: dict[str, list[Any]]
    error: str = ""


@block(
    id="6e1444a9-0576-4866-a61e-2b16ed5d2b85",
    name="ForEachBlock",
    title="For Each",
    outputs=EachResult,
    work=Work.EFFECT,
    streaming=True,
    resumable=True,
    categories=("AGENT",),
    examples=(
        Example(
            {"items": ["a", "b"], "graph_id": "upper", "input_name": "text", "output_name": "loud"},
            [("result", "!"), ("result", "!"), ("results", ["!", "!"]), ("errors", [])],
            context={"agents": {"upper": {"outputs": [("loud", "!")]}}},
        ),
    ),
)
async def for_each(inputs: EachItem, ctx: Context) -> Stream:
    """Run an agent once for each element of a list, several at a time, and send the results in the list's order.

    Failures are collected, or end the step. When ``stop_when`` ends it early, elements that were already running end
    first, and their results are left out.
    """
    if len(inputs.items) > MOST_ITEMS:
        raise BlockError(f"The list has more than {MOST_ITEMS:,} elements.", fix="Split the list.")
    async with aclosing(_results(inputs, ctx)) as stream:
        position = 0
        async for emission in stream:
            position += 1
            if position > ctx.emitted:
                yield emission


async def _results(inputs: EachItem, ctx: Context) -> AsyncGenerator[tuple[str, Any], None]:
    results: list[Any] = []
    errors: list[dict[str, Any]] = []
    halted = asyncio.Event()
    async with aclosing(_in_order(inputs, ctx, halted)) as finished:
        async for done in finished:
            if halted.is_set():
                continue
            if done.error:
                errors.append({"index": len(results), "error": done.error})
                results.append(None)
                continue
            results.append(_shaped(done, inputs.output_name))
            yield "result", results[-1]
            if inputs.stop_when and any(done.outputs.get(inputs.stop_when, ())):
                halted.set()
    yield "results", results
    yield "errors", errors


async def _in_order(inputs: EachItem, ctx: Context, halted: asyncio.Event) -> AsyncGenerator[_Done, None]:
    """How each element ended, in the order of the list; at most ``concurrency`` run at once.

    Once it is ``halted``, or an element has failed that may not, those that run come to their end and no more are run.
    When it is closed or cancelled it waits for none of them.
    """
    slots = asyncio.Semaphore(inputs.concurrency)
    waiting = iter(enumerate(inputs.items))
    window: deque[asyncio.Task[_Done]] = deque()
    try:
        while True:
            more = 0 if halted.is_set() else inputs.concurrency * _LOOKAHEAD - len(window)
            for index, item in islice(waiting, more):
                window.append(asyncio.create_task(_run_one(inputs, ctx, slots, halted, index, item)))
            if not window:
                return
            done = await window[0]
            window.popleft()
            if done.error and not inputs.continue_on_error and not halted.is_set():
                halted.set()
                await asyncio.gather(*window, return_exceptions=True)
                raise BlockError(f"The agent failed for an element: {done.error}", fix="See the agent's own run.")
            yield done
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)  # they must have let go before another attempt reads


async def _run_one(
    inputs: EachItem, ctx: Context, slots: asyncio.Semaphore, halted: asyncio.Event, index: int, item: Any
) -> _Done:
    outputs: dict[str, list[Any]] = {}
    async with slots:
        if halted.is_set():
            return _Done({})
        try:
            values = {**inputs.inputs, inputs.input_name: item}
            run = await ctx.agents.start(GraphId(inputs.graph_id), inputs.graph_version, values, slot=index)
            async for name, value in run.outputs():
                if name == "error":
                    return _Done({}, str(value) or "it sent an error")
                outputs.setdefault(name, []).append(value)
        except BlockError as error:
            return _Done({}, error.message or type(error).__name__)
    return _Done(outputs)


def _shaped(done: _Done, output_name: str) -> Any:
    values = {name: each[0] if len(each) == 1 else each for name, each in done.outputs.items()}
    return values.get(output_name) if output_name else values


BLOCKS = (for_each,)
