"""The graphs that are measured, and the blocks they are made of."""

import asyncio
import itertools
import random
import time
from typing import Any

from treadle.base.ids import BlockId, GraphId, NodeId
from treadle.kernel.graph import Graph, Link, Node
from treadle.kernel.plan import BlockFacts, Plan, compile_plan
from treadle.sdk.block import Block, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.registry import Registry

MOMENTS: list[float] = []
"""When the blocks that note it ran (``time.perf_counter``)."""


class Number(Inputs):
    value: int = pin("A number.", default=0)


class Anything(Inputs):
    value: Any = pin("Anything.", default=None)


class Result(Outputs):
    value: int = pin("The number that follows.")


class AnyResult(Outputs):
    value: Any = pin("What follows.")


class Moment(Outputs):
    value: int = pin("When this was sent: nanoseconds of the machine's clock that never goes back.")


class Pace(Inputs):
    every: float = pin("Seconds from one output to the next.")


class Amount(Inputs):
    amount: int = pin("How many items.")


@block(id="bench-add", name="BenchAddBlock", outputs=Result, work=Work.PURE, short=True)
async def add(inputs: Number, ctx: Context) -> Stream:
    """Add one: a trivial node without effects."""
    yield "value", inputs.value + 1


@block(id="bench-send", name="BenchSendBlock", outputs=Result, work=Work.EFFECT)
async def send(inputs: Number, ctx: Context) -> Stream:
    """Add one, declared as an effect: starts when its own start is on disk."""
    yield "value", inputs.value + 1


@block(id="bench-note", name="BenchNoteBlock", outputs=Result, work=Work.PURE, short=True)
async def note(inputs: Number, ctx: Context) -> Stream:
    """Note the moment; no effects."""
    MOMENTS.append(time.perf_counter())
    yield "value", inputs.value + 1


@block(id="bench-note-send", name="BenchNoteSendBlock", outputs=Result, work=Work.EFFECT)
async def note_send(inputs: Number, ctx: Context) -> Stream:
    """Note the moment; declared as an effect."""
    MOMENTS.append(time.perf_counter())
    yield "value", inputs.value + 1


@block(id="bench-items", name="BenchItemsBlock", outputs=Result, work=Work.PURE, short=True)
async def items(inputs: Amount, ctx: Context) -> Stream:
    """Send as many numbers as asked."""
    for number in range(inputs.amount):
        yield "value", number


@block(id="bench-texts", name="BenchTextsBlock", outputs=AnyResult, work=Work.PURE, short=True)
async def texts(inputs: Amount, ctx: Context) -> Stream:
    """Send as many different texts of 2 kB as asked."""
    for number in range(inputs.amount):
        yield "value", f"{number:08}" * 250


@block(id="bench-sleep", name="BenchSleepBlock", outputs=AnyResult, work=Work.EFFECT)
async def sleep(inputs: Anything, ctx: Context) -> Stream:
    """Stay at work for ten minutes."""
    MOMENTS.append(time.perf_counter())
    await asyncio.sleep(600)
    yield "value", inputs.value


@block(id="bench-tick", name="BenchTickBlock", outputs=Moment, work=Work.PURE, streaming=True)
async def tick(inputs: Pace, ctx: Context) -> Stream:
    """Send the time at a pace, for ever. Where it begins is left to chance, so that many do not tick together."""
    clock = asyncio.get_running_loop().time
    due = clock() + random.random() * inputs.every
    while True:
        await asyncio.sleep(due - clock())
        yield "value", time.monotonic_ns()
        due += inputs.every


BLOCKS: tuple[Block, ...] = (add, send, note, note_send, items, texts, sleep, tick)


def chain(length: int, block_id: str, registry: Registry) -> Plan:
    """``length`` nodes, one after the other."""
    nodes = [_node(f"n{i}", block_id, {"value": 0} if i == 0 else {}) for i in range(length)]
    return _plan(f"chain-{length}-{block_id}", nodes, _line(nodes), registry)


def through_three(amount: int, registry: Registry) -> Plan:
    """Items that each pass three nodes."""
    nodes = [_node("source", items.id, {"amount": amount}), *(_node(f"n{i}", add.id, {}) for i in range(3))]
    return _plan(f"items-{amount}", nodes, _line(nodes), registry)


def queued(amount: int, source: str, registry: Registry) -> Plan:
    """Items of which a hundred are at work for long while the others wait."""
    nodes = [_node("source", source, {"amount": amount}), _node("work", sleep.id, {})]
    return _plan(f"queued-{amount}-{source}", nodes, _line(nodes), registry)


def side_by_side(width: int, block_id: str, registry: Registry) -> Plan:
    """``width`` nodes that do not wait for each other."""
    return _plan(f"wide-{width}", [_node(f"n{i}", block_id, {"value": 0}) for i in range(width)], [], registry)


def single(block_id: str, constants: dict[str, Any], registry: Registry) -> Plan:
    """One node."""
    return _plan(f"single-{block_id}", [_node("n0", block_id, constants)], [], registry)


def _node(name: str, block_id: str, constants: dict[str, Any]) -> Node:
    return Node(NodeId(name), BlockId(block_id), constants)


def _line(nodes: list[Node]) -> list[Link]:
    return [Link(one.id, "value", next.id, "value") for one, next in itertools.pairwise(nodes)]


def _plan(name: str, nodes: list[Node], links: list[Link], registry: Registry) -> Plan:
    def facts(block_id: BlockId) -> BlockFacts:
        found = registry.get(block_id)
        assert found is not None, block_id
        return BlockFacts(found.version, found.work.value, found.kind.value, found.static_output)

    return compile_plan(Graph(GraphId(name), 1, tuple(nodes), tuple(links)), facts)
