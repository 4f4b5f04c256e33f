"""The examples that the documentation shows are true, and every block has some."""

import pytest

from treadle.blocks.catalogue import ALL_BLOCKS
from treadle.sdk.block import Block, Example
from treadle.sdk.testing import check_example

CASES = [
    pytest.param(block, example, id=f"{block.name}-{number}")
    for block in ALL_BLOCKS
    for number, example in enumerate(block.examples, start=1)
]


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.name)
def test_every_block_has_an_example(block: Block) -> None:
    assert block.examples


@pytest.mark.parametrize(("block", "example"), CASES)
async def test_example(block: Block, example: Example) -> None:
    await check_example(block, example)


def test_ids_and_names_are_unique() -> None:
    assert len({block.id for block in ALL_BLOCKS}) == len({block.name for block in ALL_BLOCKS}) == len(ALL_BLOCKS)
