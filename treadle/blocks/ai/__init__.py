"""Blocks that ask language models."""

from treadle.blocks.ai import condition, decision, lists, structured, summary, text
from treadle.sdk.block import Block

BLOCKS: tuple[Block, ...] = (
    *text.BLOCKS,
    *structured.BLOCKS,
    *lists.BLOCKS,
    *summary.BLOCKS,
    *condition.BLOCKS,
    *decision.BLOCKS,
)
