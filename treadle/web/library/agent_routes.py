"""Routes for the agents of the library, and for files that come in and go out."""

import asyncio
from typing import Annotated, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from treadle.base.errors import BadInput
from treadle.base.ids import FolderId, GraphId, LibraryAgentId
from treadle.base.paging import Page
from treadle.features.accounts.access import Principal
from treadle.features.executions.starting import Wanted
from treadle.features.graphs.exporter import export_agent
from treadle.features.graphs.reader import read_agent_file
from treadle.features.library.entries import EntryQuery
from treadle.features.library.importing import Existing, ImportTerms
from treadle.features.library.service import UNSET, Changes, Unset
from treadle.web.access import Edits, Reads, Starts
from treadle.web.bodies import FOUND, Done
from treadle.web.builder.graph_routes import AGENT_FILE, EXPORTED
from treadle.web.executions.bodies import ExecuteRequest, RunReport
from treadle.web.executions.starting import STARTED, Wait, chosen_credentials, started
from treadle.web.idempotency import ONCE, Once, TheKey
from treadle.web.library.answers import agent_detail, agent_list, import_report
from treadle.web.library.bodies import (
    LARGEST_VERSION,
    AddAgent,
    AgentQuery,
    AgentUpdate,
    ImportReportBody,
    LibraryAgentDetail,
    LibraryAgentList,
    MoveAgents,
)
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/api/v2/library", tags=["library"])
TheVersion = Annotated[int | None, Query(ge=1, le=LARGEST_VERSION, description="Of the graph.")]


@router.get("/agents", operation_id="list_library_agents", response_model=LibraryAgentList)
async def list_agents(request: Request, who: Reads, query: Annotated[AgentQuery, Query()]) -> Response:
    """Agents of the library, each with how its runs have gone."""
    return await _page(request.app.state.site, who, query)


@router.get("/agents/favorites", operation_id="list_favorite_agents", response_model=LibraryAgentList)
async def list_favorites(request: Request, who: Reads, query: Annotated[AgentQuery, Query()]) -> Response:
    """The agents that you like."""
    return await _page(request.app.state.site, who, query, favorites=True)


async def _page(site: Site, who: Principal, query: AgentQuery, *, favorites: bool = False) -> Response:
    wanted = EntryQuery(
        page=Page(query.page, query.page_size),
        search=query.search_term,
        sort=query.sort_by,
        statuses=tuple(dict.fromkeys(query.status)),
        folder=FolderId(query.folder_id) if isinstance(query.folder_id, UUID) else query.folder_id,
        archived=query.archived,
        favorites=favorites,
        parts=query.parts,
    )
    lines, total = await site.library.encoded_page(who.workspace, who.user, wanted)
    return Response(agent_list(lines, wanted.page, total), media_type="application/json")


@router.post(
    "/agents",
    operation_id="add_library_agent",
    status_code=201,
    response_model=LibraryAgentDetail,
    responses={**FOUND, **ONCE},
)
async def add_agent(site: TheSite, who: Edits, body: AddAgent, once: Once) -> Response:
    """Put a graph into the library. One that was saved or imported is there already."""

    async def add() -> LibraryAgentDetail:
        id = await site.library.add(who.workspace, GraphId(body.agent_id), body.agent_version)
        return await _detail(site, who, id)

    return await once(who, add, status=201)


@router.post("/agents/move", operation_id="move_library_agents", responses=FOUND)
async def move_agents(site: TheSite, who: Edits, body: MoveAgents) -> Done:
    """Put agents into a folder: all of them, or none when one is not there."""
    ids = [LibraryAgentId(each) for each in body.agent_ids]
    await site.library.move(who.workspace, ids, _folder(body.folder_id))
    return Done()


@router.get("/agents/by-graph/{graph_id}", operation_id="get_library_agent_of_graph", responses=FOUND)
async def get_agent_of_graph(
    site: TheSite, who: Reads, graph_id: str, version: TheVersion = None
) -> LibraryAgentDetail:
    """The agent of a graph; with a version, told of that version."""
    entry = await site.library.of_graph(who.workspace, who.user, GraphId(graph_id))
    if version is not None:
        entry.graph_version, entry.is_latest_version = version, version == entry.newest_version
    return await agent_detail(site, who.workspace, entry)


@router.get("/agents/{agent_id}", operation_id="get_library_agent", responses=FOUND)
async def get_agent(site: TheSite, who: Reads, agent_id: UUID) -> LibraryAgentDetail:
    """An agent of the library: what it takes, gives and needs, and how its runs have gone."""
    return await _detail(site, who, LibraryAgentId(agent_id))


@router.patch("/agents/{agent_id}", operation_id="update_library_agent", responses=FOUND)
@router.put("/agents/{agent_id}", operation_id="replace_library_agent", responses=FOUND)
async def update_agent(site: TheSite, who: Edits, agent_id: UUID, body: AgentUpdate) -> LibraryAgentDetail:
    """File an agent, archive it, pin it to a version, set it up. What is not given stays as it is."""
    id = LibraryAgentId(agent_id)
    settings = body.settings.model_dump(exclude_unset=True) if body.settings is not None else None
    changes = Changes(
        archived=body.is_archived,
        pinned=await _pinned(site, who, id, body),
        folder=_folder(body.folder_id) if "folder_id" in body.model_fields_set else UNSET,
        settings=settings,
        favorite=body.is_favorite,
    )
    await site.library.update(who.workspace, who.user, id, changes)
    return await _detail(site, who, id)


async def _pinned(site: Site, who: Principal, id: LibraryAgentId, body: AgentUpdate) -> int | Unset | None:
    if body.auto_update is True and body.graph_version is not None:
        raise BadInput(
            "An agent that follows the active version is not pinned to one.", fix="Send auto_update or graph_version."
        )
    if body.auto_update is True:
        return None
    if body.graph_version is not None:
        return body.graph_version
    if body.auto_update is False:
        return (await site.library.get(who.workspace, who.user, id)).graph_version
    return UNSET


@router.delete("/agents/{agent_id}", operation_id="remove_library_agent", responses=FOUND)
async def remove_agent(site: TheSite, who: Edits, agent_id: UUID) -> Done:
    """Take an agent out of the library. Its graph and its runs stay; saving or adding it again brings it back."""
    await site.library.remove(who.workspace, LibraryAgentId(agent_id))
    return Done()


@router.put("/agents/{agent_id}/favorite", operation_id="like_library_agent", responses=FOUND)
async def like_agent(site: TheSite, who: Reads, agent_id: UUID) -> Done:
    """Have an agent among your favourites, whatever your part in the workspace is."""
    await site.library.like(who.workspace, who.user, LibraryAgentId(agent_id), likes=True)
    return Done()


@router.delete("/agents/{agent_id}/favorite", operation_id="unlike_library_agent", responses=FOUND)
async def unlike_agent(site: TheSite, who: Reads, agent_id: UUID) -> Done:
    """Have an agent among your favourites no more."""
    await site.library.like(who.workspace, who.user, LibraryAgentId(agent_id), likes=False)
    return Done()


@router.post(
    "/agents/{agent_id}/fork",
    operation_id="fork_library_agent",
    status_code=201,
    response_model=LibraryAgentDetail,
    responses={**FOUND, **ONCE},
)
async def fork_agent(site: TheSite, who: Edits, agent_id: UUID, once: Once) -> Response:
    """Copy an agent with its sub-agents under new ids. The copy names its origin."""

    async def fork() -> LibraryAgentDetail:
        return await _detail(site, who, await site.library.fork(who.workspace, who.user, LibraryAgentId(agent_id)))

    return await once(who, fork, status=201)


@router.post(
    "/agents/{agent_id}/execute", operation_id="execute_library_agent", response_model=RunReport, responses=STARTED
)
async def execute_agent(
    site: TheSite, who: Starts, agent_id: UUID, body: ExecuteRequest, wait: Wait = 0, key: TheKey = None
) -> Response:
    """Start a run: 200 with its outputs when it ends within ``wait`` seconds, else 202 with its id."""
    entry = await site.library.get(who.workspace, who.user, LibraryAgentId(agent_id))
    chosen = chosen_credentials(body.credentials)
    wanted = Wanted(GraphId(entry.graph_id), body.input_data, body.version, body.given(), chosen, key)
    return await started(site, who.workspace, wanted, wait)


@router.get(
    "/agents/{agent_id}/export", operation_id="export_library_agent", responses=EXPORTED, response_class=JSONResponse
)
async def export_library_agent(site: TheSite, who: Reads, agent_id: UUID, version: TheVersion = None) -> Response:
    """The agent file, sub-agents included, without secrets, in a form that version control likes."""
    entry = await site.library.get(who.workspace, who.user, LibraryAgentId(agent_id))
    wanted = version or entry.graph_version
    agent = await site.graphs.agent(who.workspace, GraphId(entry.graph_id), wanted, partial=True)
    content = await asyncio.to_thread(export_agent, agent, site.registry)
    name = quote(f"{agent.name[:100] or 'agent'}.json", safe="")
    disposition = f"attachment; filename=\"agent.json\"; filename*=UTF-8''{name}"
    return Response(content, headers={"Content-Disposition": disposition}, media_type="application/json")


@router.post(
    "/import",
    operation_id="import_agent",
    status_code=201,
    response_model=ImportReportBody,
    responses={**FOUND, **ONCE},
    openapi_extra=AGENT_FILE,
)
async def import_agent(
    site: TheSite,
    who: Edits,
    request: Request,
    once: Once,
    folder_id: Annotated[UUID | None, Query(description="Where to put the agent.")] = None,
    existing: Annotated[
        Literal["version", "copy"],
        Query(description="What becomes of a file whose agent is there already: its next version, or another agent."),
    ] = "version",
) -> Response:
    """Import an agent file, of Treadle's own or of the AutoGPT platform's: all of it or nothing, with a report."""
    agent = await asyncio.to_thread(read_agent_file, await request.body(), name="Agent")
    terms = ImportTerms(who.user, _folder(folder_id), Existing(existing))

    async def act() -> ImportReportBody:
        imported = await site.importer.import_agent(who.workspace, agent, terms)
        return import_report(imported, await _detail(site, who, imported.id))

    return await once(who, act, status=201)


async def _detail(site: Site, who: Principal, id: LibraryAgentId) -> LibraryAgentDetail:
    return await agent_detail(site, who.workspace, await site.library.get(who.workspace, who.user, id))


def _folder(id: UUID | None) -> FolderId | None:
    return None if id is None else FolderId(id)
