"""Lists are given out in pages."""

from dataclasses import dataclass

LARGEST_PAGE = 100
"""Items on a page at most."""
_LAST_PAGE = 1_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted: ``number`` counts from 1. What is out of range is brought into it."""

    number: int = 1
    size: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", min(max(self.number, 1), _LAST_PAGE))
        object.__setattr__(self, "size", min(max(self.size, 1), LARGEST_PAGE))

    @property
    def offset(self) -> int:
        """Items that come before the page."""
        return (self.number - 1) * self.size


COUNTED = 10_000
"""Up to here totals are exact, where counting all would take long."""


@dataclass(frozen=True, slots=True)
class Total:
    """How long a list is; when not exact, it is longer than ``count``."""

    count: int
    exact: bool = True


def total_of(counted: int) -> Total:
    """The total of a list that was counted until it was longer than ``COUNTED``."""
    return Total(min(counted, COUNTED), counted <= COUNTED)
