"""What part of a workspace's graphs somebody wants to see."""

from dataclasses import dataclass, field
from enum import StrEnum

from treadle.base.paging import Page


class GraphSort(StrEnum):
    """In which order graphs are listed: the latest first, or by name."""

    UPDATED = "updated_at"
    CREATED = "created_at"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class GraphQuery:
    """A part of the list of graphs. ``search`` are words that stand in the name or the description, in any order."""

    page: Page = field(default_factory=Page)
    search: str = ""
    sort: GraphSort = GraphSort.UPDATED
