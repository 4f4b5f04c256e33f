"""Routes below ``/api/v2/builder``: blocks and graphs."""

import asyncio
import gzip
import hashlib
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.datastructures import State

from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.engine.store import ExecutionRow
from treadle.features.graphs.credential_checks import unknown_credentials
from treadle.features.graphs.exporter import export_agent
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.schemas import input_schema, output_schema
from treadle.features.graphs.secret_values import shown
from treadle.features.graphs.validation import validate
from treadle.kernel.states import FINAL
from treadle.web.access import Edits, Reads, Starts
from treadle.web.bodies import FOUND, Responses
from treadle.web.builder.answers import block_body
from treadle.web.builder.bodies import (
    BlockList,
    ExecuteRequest,
    GraphDetail,
    GraphList,
    GraphSummary,
    Started,
)
from treadle.web.builder.needs import need_bodies
from treadle.web.executions.answers import run_report
from treadle.web.executions.bodies import RunReport
from treadle.web.idempotency import ONCE, Once, TheKey
from treadle.web.problems import Failure, problem_body
from treadle.web.site import Site, TheSite

if TYPE_CHECKING:
    from treadle.features.graphs.models import GraphVersion

LONGEST_WAIT = 300.0
"""Seconds that a request may wait for a run."""

router = APIRouter(prefix="/api/v2/builder", tags=["builder"])
Version = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="The newest when it is not given.")]
Unchanged: Responses = {304: {"description": "Nothing has changed since the version of If-None-Match."}}
Checked: Responses = {
    **FOUND,
    400: {"model": Failure},
}


@router.get("/blocks", operation_id="list_blocks", response_model=BlockList, responses=Unchanged)
async def list_blocks(
    site: TheSite,
    who: Reads,
    request: Request,
    if_none_match: Annotated[str | None, Header()] = None,
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """All blocks of this install, with their schemas."""
    tag, packed = await _packed_blocks(request.app.state, site)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    if if_none_match is not None and tag in (each.strip().removeprefix("W/") for each in if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    if "gzip" in accept_encoding.lower():
        headers["Content-Encoding"] = "gzip"
        return Response(packed, headers=headers, media_type="application/json")
    return Response(gzip.decompress(packed), headers=headers, media_type="application/json")


async def _packed_blocks(state: State, site: Site) -> tuple[str, bytes]:
    """The catalogue's ETag and gzipped JSON; made at the first request, because it takes a second."""
    if not hasattr(state, "blocks"):
        state.blocks = await asyncio.to_thread(_pack_blocks, site)
    packed: tuple[str, bytes] = state.blocks
    return packed


def _pack_blocks(site: Site) -> tuple[str, bytes]:
    bodies = sorted((block_body(each) for each in site.registry), key=lambda body: body.name)
    text = BlockList(blocks=bodies).model_dump_json().encode()
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"', gzip.compress(text, mtime=0)


@router.get("/graphs", operation_id="list_graphs")
async def list_graphs(
    site: TheSite, who: Reads, limit: Annotated[int, Query(description="At most 500.")] = 100
) -> GraphList:
    """The newest version of every agent."""
    return GraphList(graphs=[_summary(row) for row in await site.graphs.listed(who.workspace, limit)])


@router.post(
    "/graphs",
    operation_id="create_graph",
    status_code=201,
    response_model=GraphDetail,
    responses={**Checked, **ONCE},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object", "description": "An agent file."}}},
        }
    },
)
async def create_graph(site: TheSite, who: Edits, request: Request, once: Once) -> Response:
    """Save an agent file, sub-agents included. An agent that has not changed keeps its version."""
    agent = read_agent_file(await request.body(), name="the request's body")

    async def save() -> GraphDetail:
        return await _detail(site, who.workspace, await site.graphs.save(who.workspace, agent))

    return await once(who, save, status=201)


@router.get("/graphs/{graph_id}", operation_id="get_graph", responses=FOUND)
async def get_graph(site: TheSite, who: Reads, graph_id: str, version: Version = None) -> GraphDetail:
    """An agent: its file, what it takes and gives, what it needs, and what is wrong with it."""
    return await _detail(site, who.workspace, await site.graphs.get(who.workspace, GraphId(graph_id), version))


@router.get("/graphs/{graph_id}/export", operation_id="export_graph", responses=FOUND)
async def export_graph(site: TheSite, who: Reads, graph_id: str, version: Version = None) -> Response:
    """The agent file, sub-agents included, without secrets."""
    agent = await site.graphs.agent(who.workspace, GraphId(graph_id), version)
    return Response(export_agent(agent, site.registry), media_type="application/json")


@router.post(
    "/graphs/{graph_id}/execute",
    operation_id="execute_graph",
    response_model=RunReport,
    responses={**Checked, 202: {"model": Started, "description": "It runs; ask for it by its id."}},
)
async def execute_graph(
    site: TheSite,
    who: Starts,
    graph_id: str,
    body: ExecuteRequest,
    wait: Annotated[float, Query(description="Seconds to wait for the end, at most 300.")] = 0,
    idempotency_key: TheKey = None,
) -> Any:
    """Start a run: 200 with its outputs when it ends within ``wait`` seconds, else 202 with its id."""
    id = await site.executions.start(
        who.workspace,
        GraphId(graph_id),
        body.input_data,
        version=body.version,
        idempotency_key=idempotency_key,
        settings={"safe_mode": body.safe_mode},
    )
    row = await _waited(site, who.workspace, id, min(max(wait, 0.0), LONGEST_WAIT))
    if row.status in FINAL and wait > 0:
        return await run_report(site.executions, row)
    return Response(
        Started(execution_id=id, status=row.status).model_dump_json(),
        status_code=202,
        media_type="application/json",
        headers={"Location": f"/api/v2/executions/{id}"},
    )


async def _waited(site: Site, workspace: WorkspaceId, id: ExecutionId, seconds: float) -> ExecutionRow:
    """The run, once it is over or needs a person, or the time is up."""
    if seconds > 0:
        try:
            return await asyncio.wait_for(site.worker.finished(workspace, id, resting=True), seconds)
        except TimeoutError:
            pass
    return await site.executions.get(workspace, id)


def _summary(row: "GraphVersion") -> GraphSummary:
    return GraphSummary(**_summary_fields(row))


def _summary_fields(row: "GraphVersion") -> dict[str, Any]:
    same = {name: getattr(row, name) for name in ("id", "version", "name", "created_at")}
    return {**same, "description": str(row.document.get("description") or "")}


async def _detail(site: Site, workspace: WorkspaceId, row: "GraphVersion") -> GraphDetail:
    agent = await site.graphs.agent(workspace, GraphId(row.id), row.version)
    offers = await site.credentials.offers(workspace)
    unknown = unknown_credentials(agent, site.registry, {each.id for each in offers.every})
    return GraphDetail(
        **_summary_fields(row),
        document=shown(agent, site.registry).model_dump(mode="json"),
        input_schema=input_schema(agent, site.registry),
        output_schema=output_schema(agent, site.registry),
        credentials=need_bodies(agent, site.registry, offers),
        problems=[problem_body(each) for each in (*validate(agent, site.registry, for_run=True), *unknown)],
    )
