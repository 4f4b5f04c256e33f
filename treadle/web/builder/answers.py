"""From blocks and graphs to what goes over HTTP and out of the commands."""

from treadle.sdk.block import Block
from treadle.web.builder.bodies import BlockBody


def block_body(block: Block) -> BlockBody:
    """A block, with its schemas."""
    same = ("id", "name", "title", "description", "input_schema", "output_schema", "static_output", "version")
    return BlockBody(
        **{name: getattr(block, name) for name in (*same, "disabled")},
        categories=list(block.categories),
        kind=block.kind.value,
        work=block.work.value,
    )
