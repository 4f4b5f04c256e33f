"""Routes of the menu from which people take blocks and agents: categories, providers, suggestions, search."""

from collections import Counter
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from treadle.features.credentials.providers import known_providers
from treadle.features.graphs.listing import GraphQuery
from treadle.features.search.service import Found, FoundKind
from treadle.web.access import Reads
from treadle.web.bodies import Done, ThePage, pagination
from treadle.web.builder.block_catalogue import BlockType, Catalogue
from treadle.web.builder.bodies import BlockCard
from treadle.web.builder.graph_answers import graph_summary
from treadle.web.builder.menu_bodies import (
    BlockProviderBody,
    BlockProviderList,
    CategoryBody,
    CategoryList,
    Counts,
    RecentSearchBody,
    SearchAnswer,
    SearchItem,
    Suggestions,
)
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/api/v2/builder", tags=["builder"])

_STARTERS = ("AgentInputBlock", "AgentOutputBlock", "AITextGeneratorBlock", "FillTextTemplateBlock")
"""Blocks for somebody who has built nothing yet."""
_TOP = 8


@router.get("/categories", operation_id="list_block_categories")
async def list_categories(
    site: TheSite,
    who: Reads,
    blocks_per_category: Annotated[int, Query(ge=0, le=50, description="How many of each are shown.")] = 3,
) -> CategoryList:
    """Categories of blocks, with how many there are and the first of them."""
    site.search.expect()
    groups: dict[str, list[BlockCard]] = {}
    for entry in (await site.catalogue.get()).entries:
        for name in entry.block.categories:
            groups.setdefault(name, []).append(entry.card)
    bodies = [
        CategoryBody(name=name, title=_title(name), total=len(cards), blocks=cards[:blocks_per_category])
        for name, cards in groups.items()
    ]
    return CategoryList(categories=sorted(bodies, key=lambda each: each.title))


@router.get("/providers", operation_id="list_block_providers")
async def list_providers(site: TheSite, who: Reads, page: ThePage) -> BlockProviderList:
    """Providers that there are blocks for."""
    counts = _provider_counts(await site.catalogue.get())
    known = [each for name, each in known_providers().items() if counts[name]]
    shown = known[page.offset : page.offset + page.size]
    return BlockProviderList(
        providers=[
            BlockProviderBody(
                name=each.name,
                title=each.title,
                description=each.description,
                docs=each.docs,
                total=counts[each.name],
            )
            for each in shown
        ],
        pagination=pagination(page, len(known)),
    )


@router.get("/counts", operation_id="count_menu")
async def count_menu(site: TheSite, who: Reads) -> Counts:
    """How many blocks of each type, providers and agents there are."""
    catalogue = await site.catalogue.get()
    types = Counter(type for entry in catalogue.entries for type in entry.card.types)
    _, agents = await site.graphs.page(who.workspace, GraphQuery())
    return Counts(
        all_blocks=len(catalogue.entries),
        input_blocks=types[BlockType.INPUT],
        output_blocks=types[BlockType.OUTPUT],
        action_blocks=types[BlockType.ACTION],
        ai_blocks=types[BlockType.AI],
        trigger_blocks=types[BlockType.TRIGGER],
        providers=len(known_providers().keys() & _provider_counts(catalogue).keys()),
        my_agents=agents,
    )


@router.get("/suggestions", operation_id="suggest_blocks")
async def suggest(site: TheSite, who: Reads) -> Suggestions:
    """Blocks that the workspace uses most, what you searched for lately, and providers."""
    site.search.expect()
    catalogue = await site.catalogue.get()
    cards = {entry.card.id: entry.card for entry in catalogue.entries}
    used = [cards[id] for id in await site.search.most_used(who.workspace, 2 * _TOP) if id in cards]
    starters = [entry.card for entry in catalogue.entries if entry.block.name in _STARTERS]
    recent = await site.search.recent(who.workspace, who.user)
    return Suggestions(
        top_blocks=(used or starters)[:_TOP],
        recent_searches=[
            RecentSearchBody(id=each.id, query=each.query, searched_at=each.searched_at) for each in recent
        ],
        providers=[name for name, _ in _provider_counts(catalogue).most_common(_TOP)],
    )


@router.get("/search", operation_id="search_menu")
async def search(
    site: TheSite,
    who: Reads,
    page: ThePage,
    q: Annotated[str, Query(min_length=1, max_length=500, description="What you look for, in your own words.")],
    kind: Annotated[list[FoundKind] | None, Query(description="Only these; everything when it is not given.")] = None,
    search_id: Annotated[UUID | None, Query(description="Of the search that this one goes on with.")] = None,
) -> SearchAnswer:
    """Blocks of this install and agents of the workspace that fit, by words and by meaning.

    What you search for is remembered for your suggestions; DELETE /searches forgets it.
    """
    results = await site.search.find(who.workspace, q, kind or list(FoundKind))
    shown = results.items[page.offset : page.offset + page.size]
    totals = Counter(each.kind for each in results.items)
    return SearchAnswer(
        items=await _items(site, who, shown),
        totals={kind: totals[kind] for kind in FoundKind},
        by_meaning=results.by_meaning,
        search_id=await site.search.remember(who.workspace, who.user, q, search_id),
        pagination=pagination(page, len(results.items)),
    )


@router.delete("/searches", operation_id="forget_searches")
async def forget_searches(site: TheSite, who: Reads) -> Done:
    """Forget what you have searched for in this workspace."""
    await site.search.forget(who.workspace, who.user)
    return Done()


async def _items(site: Site, who: Reads, found: list[Found]) -> list[SearchItem]:
    """What was found, as it is shown; an agent that was deleted a moment ago is left out."""
    cards = {entry.card.id: entry.card for entry in (await site.catalogue.get()).entries}
    agents = [each.id for each in found if each.kind is FoundKind.AGENT]
    heads = await site.graphs.heads(who.workspace, agents) if agents else {}
    items = []
    for each in found:
        if each.kind is FoundKind.BLOCK:
            items.append(SearchItem(kind=each.kind, points=each.points, block=cards[each.id]))
        elif each.id in heads:
            items.append(SearchItem(kind=each.kind, points=each.points, agent=graph_summary(heads[each.id])))
    return items


def _provider_counts(catalogue: Catalogue) -> Counter[str]:
    return Counter(name for entry in catalogue.entries for name in entry.card.providers)


def _title(name: str) -> str:
    """``DEVELOPER_TOOLS`` -> ``Developer tools``; short names are abbreviations."""
    return name if len(name) <= 3 else name.replace("_", " ").capitalize()
