"""Asking a person."""

from typing import Any

from treadle.sdk.block import BlockKind, Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin


class ToReview(Inputs):
    """Pins of a review."""

    data: Any = pin("What the person sees and decides on.")
    name: str = pin("A short description of the data for the person.")
    editable: bool = pin("Whether the person may change the data.", default=True)


class Reviewed(Outputs):
    """What the person decided."""

    approved_data: Any = pin("The data, as approved and perhaps changed by the person.")
    rejected_data: Any = pin("The data, when the person rejected it.")
    review_message: str = pin("What the person wrote about it, if anything.")


@block(
    id="8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d",
    name="HumanInTheLoopBlock",
    title="Human In The Loop",
    outputs=Reviewed,
    kind=BlockKind.HUMAN,
    work=Work.EFFECT,
    categories=("BASIC",),
    examples=(
        Example(
            {"data": {"text": "Hello"}, "name": "Greeting"},
            [("approved_data", {"text": "Hello"}), ("review_message", "Auto-approved (safe mode disabled)")],
            title="With the agent's safe mode off nobody is asked",
            context={"safe_mode": False},
        ),
    ),
)
async def human_in_the_loop(inputs: ToReview, ctx: Context) -> Stream:
    """Show data to a person and wait, for as long as it takes, until they approve, change or reject it."""
    if not ctx.safe_mode:
        yield "approved_data", inputs.data
        yield "review_message", "Auto-approved (safe mode disabled)"
        return
    decision = ctx.review(inputs.data, message=inputs.name, editable=inputs.editable)
    data = inputs.data if decision.data is None else decision.data
    yield ("approved_data" if decision.approved else "rejected_data"), data
    if decision.message:
        yield "review_message", decision.message


BLOCKS = (human_in_the_loop,)
