"""The blocks of an install as the builder asks for them: answered from memory, made once in a thread of its own."""

import asyncio
import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from treadle.sdk.block import Block, BlockKind
from treadle.sdk.registry import Registry
from treadle.web.builder.answers import block_body
from treadle.web.builder.bodies import BlockCard

_TRIGGERS = (BlockKind.WEBHOOK, BlockKind.WEBHOOK_MANUAL)


class BlockType(StrEnum):
    """What people look for when they look for a block; one block may be of several types."""

    INPUT = "input"
    OUTPUT = "output"
    ACTION = "action"
    """Everything that does something."""
    TRIGGER = "trigger"
    AI = "ai"
    AGENT = "agent"
    HUMAN = "human"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class BlockFilter:
    """Which blocks are wanted; what is empty does not matter."""

    category: str = ""
    provider: str = ""
    type: BlockType | None = None
    search: str = ""

    def __bool__(self) -> bool:
        return bool(self.category or self.provider or self.type or self.search.split())


@dataclass(frozen=True, slots=True)
class Entry:
    """A block of the catalogue."""

    block: Block
    card: BlockCard
    words: str
    """What is searched."""
    text: bytes
    """The block with its schemas, as JSON."""

    def fits(self, wanted: BlockFilter) -> bool:
        """Whether the block is one of those that are wanted."""
        return (
            (not wanted.category or wanted.category.upper() in self.block.categories)
            and (not wanted.provider or wanted.provider.lower() in self.card.providers)
            and (wanted.type is None or wanted.type in types_of(self.block))
            and all(word in self.words for word in wanted.search.lower().split())
        )


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All blocks by title, and the whole as one answer."""

    entries: tuple[Entry, ...]
    packed: bytes
    """The whole answer, gzipped."""
    tag: str
    """Its ETag."""

    def chosen(self, wanted: BlockFilter) -> list[Entry]:
        """The blocks that are wanted, by title."""
        return [entry for entry in self.entries if entry.fits(wanted)]


class BlockCatalogue:
    """Makes the catalogue when it is first asked for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._making: asyncio.Future[Catalogue] | None = None

    async def get(self) -> Catalogue:
        """The catalogue. Whoever stops waiting stops nobody else."""
        if self._making is None:
            self._making = asyncio.ensure_future(asyncio.to_thread(make_catalogue, self._registry))
        return await asyncio.shield(self._making)


def make_catalogue(registry: Registry) -> Catalogue:
    """The catalogue of these blocks; takes a second, most of it for the schemas."""
    entries = tuple(sorted(map(_entry, registry), key=lambda each: each.card.title.lower()))
    whole = block_list(entries)
    return Catalogue(entries, gzip.compress(whole, mtime=0), f'"{hashlib.sha256(whole).hexdigest()[:32]}"')


def block_list(entries: Sequence[Entry]) -> bytes:
    """The JSON of a list of blocks (``BlockList``)."""
    blocks = b",".join(entry.text for entry in entries)
    return b'{"blocks":[%s],"total":%d}' % (blocks, len(entries))


def _entry(block: Block) -> Entry:
    return Entry(block, block_card(block), words_of(block), block_body(block).model_dump_json().encode())


def block_card(block: Block) -> BlockCard:
    """A block in a menu."""
    same = ("id", "name", "title", "description", "disabled", "cost")
    return BlockCard(
        **{name: getattr(block, name) for name in same},
        categories=list(block.categories),
        types=sorted(types_of(block)),
        providers=list(block.providers),
    )


def types_of(block: Block) -> set[BlockType]:
    """The types of a block."""
    kind = block.kind
    named = {
        BlockKind.INPUT: BlockType.INPUT,
        BlockKind.OUTPUT: BlockType.OUTPUT,
        BlockKind.NOTE: BlockType.NOTE,
        BlockKind.AGENT: BlockType.AGENT,
        BlockKind.HUMAN: BlockType.HUMAN,
        **dict.fromkeys(_TRIGGERS, BlockType.TRIGGER),
    }
    found = {named[kind]} if kind in named else set()
    if kind is BlockKind.AI or "AI" in block.categories:
        found.add(BlockType.AI)
    if kind not in (BlockKind.INPUT, BlockKind.OUTPUT, BlockKind.NOTE, *_TRIGGERS):
        found.add(BlockType.ACTION)
    return found


def words_of(block: Block) -> str:
    """What is searched for words: name, title, description, categories, providers and id, in lower case."""
    parts = (block.id, block.name, block.title, block.description, *block.categories, *block.providers)
    return " ".join(parts).lower()
