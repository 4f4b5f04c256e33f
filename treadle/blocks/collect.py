"""Gathering what arrives one by one."""

from typing import Any

from treadle.sdk.block import BlockKind, Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin


class Arrivals(Inputs):
    """Pins of Collect. The engine gathers the arrivals itself and hands over all of them at once."""

    item: list[Any] = pin("What is gathered: link here what comes one by one.", default_factory=list, advanced=False)


class Collected(Outputs):
    """All that has arrived."""

    items: list[Any] = pin("Everything that arrived, in the order of arrival.")
    count: int = pin("How many arrived.")


@block(
    id="d6c99d0a-2f6b-4551-9343-f327790a42b5",
    name="CollectBlock",
    outputs=Collected,
    kind=BlockKind.COLLECT,
    work=Work.PURE,
    short=True,
    categories=("BASIC",),
    examples=(
        Example({"item": ["a", "b"]}, [("items", ["a", "b"]), ("count", 2)]),
        Example({"item": []}, [("items", []), ("count", 0)], title="Nothing arrived"),
    ),
)
async def collect(inputs: Arrivals, ctx: Context) -> Stream:
    """Gather everything that arrives, and send it as one list when nothing more can come. It does so once in a run."""
    yield "items", inputs.item
    yield "count", len(inputs.item)


BLOCKS = (collect,)
