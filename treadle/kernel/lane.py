"""What waits at a node, in order. In a long run only both ends of the line are in memory; the rest is kept elsewhere.

Where that is, is not known here. Whoever takes entries away leaves a ``Chunk`` in their place. When its turn comes,
each of its entries is a ``Spilled``, which is to be replaced by what it stands for before its firing starts. Nothing
that fires depends on what a waiting value is, so taking some away changes neither what fires nor in which order.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import eq
from typing import Any

from treadle.kernel.firing import Cause, Firing

Entry = tuple[Any, ...]
"""At a pin: (value, cause). Above a node's concurrency: (number of the firing, values, causes)."""
NO_LIMIT = 2**62
UNKNOWN: Cause = (0, 0)
"""Stands for the cause of a value that is kept elsewhere."""


class Spilled:
    """Stands for an entry that is kept elsewhere: as a value for one of a pin, else as all values of a firing."""

    __slots__ = ("index", "key")

    def __init__(self, key: int, index: int) -> None:
        self.key = key
        """Of its chunk."""
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spilled) and (self.key, self.index) == (other.key, other.index)

    def __hash__(self) -> int:
        return hash((self.key, self.index))

    def __repr__(self) -> str:
        return f"Spilled({self.key}, {self.index})"


class Chunk:
    """A run of entries that are kept elsewhere, under ``key``. Of complete sets the numbers of their firings stay."""

    __slots__ = ("count", "key", "numbers")

    def __init__(self, key: int, count: int, numbers: Sequence[int] | None) -> None:
        self.key = key
        self.count = count
        self.numbers = None if numbers is None else _dense(numbers)

    def entries(self) -> Iterator[Entry]:
        """What stands for its entries, in order."""
        spilled = (Spilled(self.key, index) for index in range(self.count))
        if self.numbers is None:
            return ((each, UNKNOWN) for each in spilled)
        return ((number, each, ()) for number, each in zip(self.numbers, spilled, strict=True))


class Lane:
    """Entries in order: ``head``, then ``chunks``, then ``last``, which is ``head`` itself while there are no chunks.

    While there is any entry, there is one in ``head``. Whoever adds one to ``last`` looks whether it is now longer
    than ``limit``.
    """

    __slots__ = ("chunks", "head", "last", "limit", "opened")

    def __init__(self, limit: int = NO_LIMIT, opened: Callable[["Lane", Chunk], None] | None = None) -> None:
        self.head: deque[Entry] = deque()
        self.last = self.head
        self.chunks: deque[Chunk] = deque()
        self.limit = limit
        self.opened = opened
        """Told of a chunk whose turn has come."""

    def __len__(self) -> int:
        return self.in_memory + sum(chunk.count for chunk in self.chunks)

    @property
    def in_memory(self) -> int:
        """How many entries are not in a chunk."""
        return len(self.head) + (0 if self.last is self.head else len(self.last))

    def pop(self) -> Entry:
        """Take the oldest entry. Raises ``IndexError`` when there is none."""
        entry = self.head.popleft()
        if self.chunks and not self.head:
            self._open()
        return entry

    def movable(self, count: int) -> list[Entry]:
        """Entries that may be taken away next, in order, ``count`` at most: those that stand behind the chunks.

        One entry at least stays in ``head``, and what is elsewhere already is not among them.
        """
        if self.last is not self.head:
            return list(islice(self.last, count))
        found: list[Entry] = []
        for entry in islice(reversed(self.head), max(0, min(count, len(self.head) - 1))):
            if type(entry[-2]) is Spilled:
                break
            found.append(entry)
        return found[::-1]

    def move(self, chunk: Chunk) -> None:
        """The entries that ``movable`` gave are kept elsewhere from now on."""
        if self.last is self.head:
            for _ in range(chunk.count):
                self.head.pop()
            self.last = deque()
        else:
            for _ in range(chunk.count):
                self.last.popleft()
        self.chunks.append(chunk)

    def restore(self, head: Iterable[Entry], chunks: Iterable[Chunk], last: Iterable[Entry]) -> None:
        """Fill an empty lane."""
        self.head.extend(head)
        self.chunks.extend(chunks)
        self.last = deque(last) if self.chunks else self.head

    def _open(self) -> None:
        chunk = self.chunks.popleft()
        self.head.extend(chunk.entries())
        if not self.chunks:
            self.head.extend(self.last)
            self.last = self.head
        if self.opened is not None:
            self.opened(self, chunk)


def _dense(numbers: Sequence[int]) -> Sequence[int]:
    """The same numbers in little room: those of what one firing sent are mostly evenly spaced."""
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    even = range(numbers[0], numbers[-1] + 1, step)
    return even if len(even) == len(numbers) and all(map(eq, even, numbers)) else array("q", numbers)


# ---- entries as plain data ----------------------------------------------------------------------------------


def pack_value(entry: Entry) -> Entry:
    """An entry of a pin without ``Spilled``."""
    value, _ = entry
    return ((value.key, value.index),) if type(value) is Spilled else entry


def unpack_value(data: Sequence[Any]) -> Entry:
    """The entry that was packed."""
    if len(data) == 1:
        return Spilled(*data[0]), UNKNOWN
    value, cause = data
    return value, _cause(cause)


def pack_set(entry: Entry) -> Entry:
    """A complete set without ``Spilled``."""
    number, values, causes = entry
    if type(values) is Spilled:
        return number, (values.key, values.index)
    away = away_from(values)
    return (number, {**values, **dict.fromkeys(away)}, causes, away) if away else entry


def unpack_set(data: Sequence[Any]) -> Entry:
    """The complete set that was packed."""
    if len(data) == 2:
        return data[0], Spilled(*data[1]), ()
    number, values, causes, *away = data
    for pin, place in away[0].items() if away else ():
        values[pin] = Spilled(*place)
    return number, values, tuple(map(_cause, causes))


def away_from(values: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """For each value that is kept elsewhere, where."""
    return {pin: (value.key, value.index) for pin, value in values.items() if type(value) is Spilled}


# ---- before a firing starts ---------------------------------------------------------------------------------


def wanted(firing: Firing) -> list[int]:
    """The keys of the chunks that hold what the firing is to be given."""
    return keys_in(firing.values if firing.elsewhere is None else firing.elsewhere)


def keys_in(waiting: Any) -> list[int]:
    """The keys that a value of an entry refers to, or the values of a complete set."""
    if type(waiting) is Spilled:
        return [waiting.key]
    return [value.key for value in waiting.values() if type(value) is Spilled] if type(waiting) is dict else []


def put_back(firing: Firing, chunks: Mapping[int, Sequence[Entry]]) -> None:
    """Give the firing what these chunks hold of it. That may be elsewhere in part: ask again what is ``wanted``."""
    if firing.elsewhere is not None:
        _, firing.values, firing.causes = chunks[firing.elsewhere.key][firing.elsewhere.index]
        firing.elsewhere = None
        return
    causes = list(firing.causes)
    for place, (pin, value) in enumerate(firing.values.items()):
        if type(value) is Spilled and value.key in chunks:
            firing.values[pin], causes[place] = chunks[value.key][value.index]
    firing.causes = tuple(causes)


def _cause(pair: Sequence[int]) -> Cause:
    return pair[0], pair[1]
