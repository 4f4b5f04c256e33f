"""From blocks to what goes over HTTP and out of the commands."""

from treadle.sdk.block import Block
from treadle.web.builder.bodies import BlockBody


def block_body(block: Block) -> BlockBody:
    """A block, with its schemas."""
    same = ("id", "name", "title", "description", "static_output", "sensitive", "cost", "version", "disabled")
    return BlockBody(
        **{name: getattr(block, name) for name in same},
        categories=list(block.categories),
        providers=list(block.providers),
        input_schema=block.input_schema,
        output_schema=block.output_schema,
        input_order=list(block.inputs.model_fields),
        output_order=list(block.outputs.model_fields),
        kind=block.kind.value,
        work=block.work.value,
    )
