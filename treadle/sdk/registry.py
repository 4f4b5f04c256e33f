"""The blocks of an install, by id. Features and the engine see blocks only through this."""

from collections.abc import Iterable, Iterator

from treadle.base.ids import BlockId
from treadle.sdk.block import Block


class Registry:
    """An immutable set of blocks.

    Raises:
        ValueError: two blocks have the same id.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks: dict[BlockId, Block] = {}
        for each in blocks:
            if each.id in self._blocks:
                raise ValueError(f"{each.name} and {self._blocks[each.id].name} have the same id {each.id}")
            self._blocks[each.id] = each

    def get(self, block_id: BlockId) -> Block | None:
        """The block, or None when this install does not have it."""
        return self._blocks.get(block_id)

    def by_name(self, name: str) -> Block:
        """The block with this stable name; KeyError when there is none."""
        for each in self._blocks.values():
            if each.name == name:
                return each
        raise KeyError(name)

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks.values())

    def __len__(self) -> int:
        return len(self._blocks)
