"""Asking a person: the wish to wait, and each decision."""

from typing import Any

import pytest

from treadle.blocks.review import human_in_the_loop
from treadle.sdk.context import Decision, Suspend
from treadle.sdk.testing import make_context, run_block

INPUTS = {"data": {"a": 1}, "name": "Check this", "editable": False}


async def test_without_a_decision_the_firing_waits() -> None:
    with pytest.raises(Suspend) as wish:
        await run_block(human_in_the_loop, INPUTS)
    assert wish.value.kind == "review"
    assert wish.value.payload == {"data": {"a": 1}, "message": "Check this", "editable": False}


@pytest.mark.parametrize(
    ("decision", "outputs"),
    [
        (Decision(), [("approved_data", {"a": 1})]),
        (Decision(data={"a": 2}, message="better"), [("approved_data", {"a": 2}), ("review_message", "better")]),
        (Decision(data=0), [("approved_data", 0)]),
        (Decision(approved=False, message="no"), [("rejected_data", {"a": 1}), ("review_message", "no")]),
    ],
)
async def test_decisions(decision: Decision, outputs: list[tuple[str, Any]]) -> None:
    assert await run_block(human_in_the_loop, INPUTS, make_context(decision=decision)) == outputs
