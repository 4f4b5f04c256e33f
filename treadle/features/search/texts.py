"""What blocks say of themselves, as it is searched."""

import hashlib
from dataclasses import dataclass

from treadle.sdk.block import Block, BlockKind
from treadle.sdk.registry import Registry


@dataclass(frozen=True, slots=True)
class BlockText:
    """A block's title, and what else it is found by."""

    block: Block
    title: str
    body: str

    @property
    def digest(self) -> bytes:
        """SHA-256 of both."""
        return hashlib.sha256(f"{self.title}\0{self.body}".encode()).digest()


def block_texts(registry: Registry) -> dict[bytes, BlockText]:
    """Of all blocks that people choose from, by digest. Those that are switched off are not looked for."""
    texts = (_text(block) for block in registry if not block.disabled and block.kind is not BlockKind.NOTE)
    return {each.digest: each for each in texts}


def _text(block: Block) -> BlockText:
    topics = " ".join(part.replace("_", " ").lower() for part in (*block.categories, *block.providers[:5]))
    return BlockText(block, block.title, f"{block.description} {topics}".strip())
