"""Inputs of agents: what passes, what is converted, what is refused."""

from typing import Any

import pytest

from treadle.blocks import agent_inputs
from treadle.sdk.block import Block, BlockKind, Work
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block

Sent = list[tuple[str, Any]]


@pytest.mark.parametrize("block", agent_inputs.BLOCKS, ids=lambda block: block.name)
async def test_every_input_block_is_static_and_named(block: Block) -> None:
    assert block.kind is BlockKind.INPUT
    assert block.static_output
    assert block.short == (block.work is Work.PURE)
    with pytest.raises(BlockError, match="name"):
        await run_block(block, {"value": None})


@pytest.mark.parametrize(
    ("block", "value", "sent"),
    [
        (agent_inputs.agent_input, 0, [("result", 0)]),
        (agent_inputs.agent_input, "", [("result", "")]),
        (agent_inputs.agent_input, None, []),
        (agent_inputs.agent_long_text_input, 5, [("result", "5")]),
        (agent_inputs.agent_number_input, "7", [("result", 7)]),
        (agent_inputs.agent_date_input, "2026-03-01T00:00:00", [("result", "2026-03-01")]),
        (agent_inputs.agent_time_input, "12:00:00+02:00", [("result", "12:00:00+02:00")]),
        (agent_inputs.agent_toggle_input, "yes", [("result", True)]),
        (agent_inputs.agent_toggle_input, None, [("result", False)]),
        (agent_inputs.agent_table_input, None, [("result", [])]),
        (agent_inputs.agent_file_input, "", []),
        (agent_inputs.agent_google_drive_file_input, None, []),
    ],
)
async def test_values(block: Block, value: Any, sent: Sent) -> None:
    assert await run_block(block, {"name": "n", "value": value}) == sent


@pytest.mark.parametrize(
    ("block", "value"),
    [
        (agent_inputs.agent_number_input, "many"),
        (agent_inputs.agent_number_input, True),
        (agent_inputs.agent_date_input, "2026-02-30"),
        (agent_inputs.agent_date_input, "2026-03-01T10:00:00"),
        (agent_inputs.agent_date_input, 5),
        (agent_inputs.agent_time_input, "9:30"),
        (agent_inputs.agent_toggle_input, "perhaps"),
        (agent_inputs.agent_file_input, "../../etc/passwd"),
        (agent_inputs.agent_google_drive_file_input, {"name": "no id"}),
    ],
)
async def test_refused_values(block: Block, value: Any) -> None:
    with pytest.raises(BlockError):
        await run_block(block, {"name": "n", "value": value})


def test_a_date_pin_is_a_date_in_the_form() -> None:
    schema = agent_inputs.agent_date_input.input_schema["properties"]["value"]
    assert {"type": "string", "format": "date"} in schema["anyOf"]
