"""The menu of blocks and agents as it goes over HTTP."""

from datetime import datetime
from uuid import UUID

from treadle.features.search.service import FoundKind
from treadle.web.bodies import Answer, Pagination
from treadle.web.builder.bodies import BlockCard, GraphSummary


class CategoryBody(Answer):
    """A category of blocks."""

    name: str
    """For asking: ``DEVELOPER_TOOLS``."""
    title: str
    """For people: ``Developer tools``."""
    total: int
    blocks: list[BlockCard]
    """The first of them, by title."""


class CategoryList(Answer):
    """All categories, by title."""

    categories: list[CategoryBody]


class BlockProviderBody(Answer):
    """A provider whose credentials blocks take."""

    name: str
    title: str
    description: str
    docs: str
    total: int
    """How many blocks take them."""


class BlockProviderList(Answer):
    """Providers that blocks are there for, by title."""

    providers: list[BlockProviderBody]
    pagination: Pagination


class Counts(Answer):
    """How many there are of what the menu offers."""

    all_blocks: int
    input_blocks: int
    output_blocks: int
    action_blocks: int
    ai_blocks: int
    trigger_blocks: int
    providers: int
    my_agents: int


class RecentSearchBody(Answer):
    """What you have searched for."""

    id: UUID
    query: str
    searched_at: datetime


class Suggestions(Answer):
    """What is worth a look before anything is searched."""

    top_blocks: list[BlockCard]
    """Those in most runs of the last 30 days; without runs those in most agents; without agents where to start."""
    recent_searches: list[RecentSearchBody]
    providers: list[str]
    """Those with most blocks."""


class SearchItem(Answer):
    """Something that was found: a block or an agent."""

    kind: FoundKind
    points: float
    """The more, the better."""
    block: BlockCard | None = None
    agent: GraphSummary | None = None


class SearchAnswer(Answer):
    """What was found, the best first."""

    items: list[SearchItem]
    totals: dict[FoundKind, int]
    """How many of each kind were found, at most 200."""
    by_meaning: bool
    """Whether it was searched by meaning too; else the model was not ready, and words decided alone."""
    search_id: UUID
    """Give it with the next letters of the same search."""
    pagination: Pagination
