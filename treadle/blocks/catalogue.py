"""All built-in blocks. Each module here has ``BLOCKS``; what is listed below is what an install has."""

from treadle.sdk.block import Block

ALL_BLOCKS: tuple[Block, ...] = ()
