"""Routes below ``/api/v2/builder/graphs``: agents, their versions, and what is wrong with them."""

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from treadle.base.errors import BadInput
from treadle.base.ids import GraphId, WorkspaceId
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.exporter import export_agent
from treadle.features.graphs.listing import GraphQuery, GraphSort
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.service import SaveTerms
from treadle.web.access import Edits, Reads
from treadle.web.bodies import FOUND, Done, Responses, ThePage, pagination
from treadle.web.builder.bodies import (
    LONGEST_NOTE,
    ActivateRequest,
    GraphDetail,
    GraphList,
    GraphSummary,
    NoteRequest,
    Verdict,
    VersionList,
    VersionSummary,
)
from treadle.web.builder.diff_bodies import GraphDiffBody
from treadle.web.builder.graph_answers import (
    Surroundings,
    diff_body,
    graph_detail,
    graph_summary,
    verdict,
    version_summary,
)
from treadle.web.idempotency import ONCE, Once
from treadle.web.problems import Failure
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/api/v2/builder/graphs", tags=["builder"])

_LARGEST = 2**31 - 1
_TAG = re.compile(r'(?:W/)?"(\d{1,9})"')
Version = Annotated[int | None, Query(ge=0, le=_LARGEST, description="The active one when it is not given.")]
Note = Annotated[str, Query(max_length=LONGEST_NOTE, description="What to say of the new version.")]
Activate = Annotated[
    bool | None,
    Query(description="Whether the new version runs when none is named; yes when neither this nor the file says no."),
]
CHANGED: Responses = {
    **FOUND,
    409: {"model": Failure, "description": "Somebody else has saved the agent since."},
}
EXPORTED: Responses = {
    **FOUND,
    200: {"description": "An agent file.", "content": {"application/json": {"schema": {"type": "object"}}}},
}
AGENT_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "An agent file.",
                    "properties": {
                        "id": {"type": "string"},
                        "name": {"type": "string"},
                        "description": {"type": "string"},
                        "nodes": {"type": "array", "items": {"type": "object"}},
                        "links": {"type": "array", "items": {"type": "object"}},
                        "sub_graphs": {"type": "array", "items": {"type": "object"}},
                    },
                    "required": ["nodes"],
                }
            }
        },
    }
}


@router.get("", operation_id="list_graphs")
async def list_graphs(
    site: TheSite,
    who: Reads,
    page: ThePage,
    search: Annotated[str, Query(max_length=500, description="Words in the name or the description.")] = "",
    sort_by: Annotated[GraphSort, Query(description="The latest first, or by name.")] = GraphSort.UPDATED,
) -> GraphList:
    """Agents of the workspace."""
    heads, total = await site.graphs.page(who.workspace, GraphQuery(page, search, sort_by))
    return GraphList(graphs=[graph_summary(head) for head in heads], pagination=pagination(page, total))


@router.post(
    "",
    operation_id="create_graph",
    status_code=201,
    response_model=GraphDetail,
    responses={**FOUND, **ONCE},
    openapi_extra=AGENT_FILE,
)
async def create_graph(
    site: TheSite, who: Edits, request: Request, once: Once, note: Note = "", activate: Activate = None
) -> Response:
    """Save an agent file, sub-agents included. An agent that has not changed keeps its version."""
    agent = await _agent_of(request)
    terms = SaveTerms(who.user, note, agent.is_active if activate is None else activate)

    async def save() -> GraphDetail:
        row = await site.graphs.save(who.workspace, agent, terms)
        return await _detail(site, who.workspace, GraphId(row.id), row.version)

    return await once(who, save, status=201)


@router.post("/validate", operation_id="validate_graph", responses=FOUND, openapi_extra=AGENT_FILE)
async def validate_graph(site: TheSite, who: Reads, request: Request) -> Verdict:
    """Everything that is wrong with an agent file, and what it takes, gives and needs; nothing is saved.

    Sub-agents that the file does not hold are those that the workspace has.
    """
    agent = await site.graphs.completed(who.workspace, await _agent_of(request))
    return await asyncio.to_thread(verdict, await _surroundings(site, who.workspace), agent)


@router.get("/{graph_id}", operation_id="get_graph", responses=FOUND)
async def get_graph(
    site: TheSite, who: Reads, response: Response, graph_id: str, version: Version = None
) -> GraphDetail:
    """An agent: its file, what it takes and gives, what it needs, and what is wrong with it."""
    return _tagged(response, await _detail(site, who.workspace, GraphId(graph_id), version))


@router.put("/{graph_id}", operation_id="update_graph", responses=CHANGED, openapi_extra=AGENT_FILE)
async def update_graph(
    site: TheSite,
    who: Edits,
    request: Request,
    response: Response,
    graph_id: str,
    note: Note = "",
    activate: Activate = None,
    base_version: Annotated[
        int | None,
        Query(ge=0, le=_LARGEST, description="The newest version that you know of: a newer one is not overwritten."),
    ] = None,
    if_match: Annotated[str | None, Header(description="The same as an ETag of this agent.")] = None,
) -> GraphDetail:
    """Save the next version. A secret that is given as ``***``, as it is shown, stays what it is.

    What has not changed keeps its version, so that sending it again changes nothing.
    """
    agent = await _agent_of(request)
    base = _version_of(if_match) if base_version is None else base_version
    terms = SaveTerms(who.user, note, agent.is_active if activate is None else activate, base)
    row = await site.graphs.replace(who.workspace, GraphId(graph_id), agent, terms)
    return _tagged(response, await _detail(site, who.workspace, GraphId(row.id), row.version))


@router.delete(
    "/{graph_id}",
    operation_id="delete_graph",
    responses={**FOUND, 409: {"model": Failure, "description": "Other agents run it as a sub-agent."}},
)
async def delete_graph(
    site: TheSite,
    who: Edits,
    graph_id: str,
    force: Annotated[bool, Query(description="Even when other agents run it.")] = False,
) -> Done:
    """Delete an agent with all its versions. Its runs stay; saving it again brings it back with its history."""
    await site.graphs.delete(who.workspace, GraphId(graph_id), force=force)
    return Done()


@router.get("/{graph_id}/export", operation_id="export_graph", responses=EXPORTED, response_class=JSONResponse)
async def export_graph(site: TheSite, who: Reads, graph_id: str, version: Version = None) -> Response:
    """The agent file, sub-agents included, without secrets."""
    agent = await site.graphs.agent(who.workspace, GraphId(graph_id), version, partial=True)
    return Response(export_agent(agent, site.registry), media_type="application/json")


@router.get("/{graph_id}/versions", operation_id="list_graph_versions", responses=FOUND)
async def list_versions(site: TheSite, who: Reads, graph_id: str, page: ThePage) -> VersionList:
    """All versions of an agent, the newest first."""
    head, rows, total = await site.graphs.versions(who.workspace, GraphId(graph_id), page)
    versions = [version_summary(head, row) for row in rows]
    return VersionList(versions=versions, pagination=pagination(page, total))


@router.put("/{graph_id}/versions/active", operation_id="activate_graph_version", responses=FOUND)
async def activate_version(site: TheSite, who: Edits, graph_id: str, body: ActivateRequest) -> GraphSummary:
    """Choose the version that runs when none is named."""
    return graph_summary(await site.graphs.activate(who.workspace, GraphId(graph_id), body.version))


@router.patch("/{graph_id}/versions/{version}", operation_id="describe_graph_version", responses=FOUND)
async def describe_version(site: TheSite, who: Edits, graph_id: str, version: int, body: NoteRequest) -> VersionSummary:
    """Say something else of a version."""
    head, row = await site.graphs.describe(who.workspace, GraphId(graph_id), version, body.note)
    return version_summary(head, row)


@router.get("/{graph_id}/diff", operation_id="diff_graph_versions", responses=FOUND)
async def diff_versions(
    site: TheSite,
    who: Reads,
    graph_id: str,
    before: Annotated[int | None, Query(alias="from", ge=0, le=_LARGEST, description="The active one.")] = None,
    after: Annotated[int | None, Query(alias="to", ge=0, le=_LARGEST, description="The newest one.")] = None,
) -> GraphDiffBody:
    """What turns one version into another: nodes and links added, removed, changed field by field."""
    graph = GraphId(graph_id)
    if after is None:
        after = (await site.graphs.head(who.workspace, graph)).newest_version
    first, second, change = await site.graphs.difference(who.workspace, graph, before, after)
    return diff_body(graph_id, first, second, change)


async def _agent_of(request: Request) -> AgentFile:
    """The agent file that the request carries."""
    return read_agent_file(await request.body(), name="Agent")


async def _detail(site: Site, workspace: WorkspaceId, graph: GraphId, version: int | None) -> GraphDetail:
    head, row = await site.graphs.opened(workspace, graph, version)
    agent = await site.graphs.agent(workspace, graph, row.version, partial=True)
    return await asyncio.to_thread(graph_detail, await _surroundings(site, workspace), head, row, agent)


async def _surroundings(site: Site, workspace: WorkspaceId) -> Surroundings:
    return Surroundings(site.registry, await site.credentials.offers(workspace))


def _tagged(response: Response, detail: GraphDetail) -> GraphDetail:
    """The answer, with the ETag that an edit of it can name."""
    response.headers["ETag"] = f'"{detail.version}"'
    return detail


def _version_of(tag: str | None) -> int | None:
    """The version that the ETag of an agent names. None for ``*``: any will do."""
    if tag is None or tag.strip() == "*":
        return None
    found = _TAG.fullmatch(tag.strip())
    if found is None:
        raise BadInput(
            f"The header If-Match is {tag[:60]!r}, which is no ETag of an agent.",
            fix='Send the ETag that came with the agent, such as "3", or the parameter base_version.',
        )
    return int(found[1])
