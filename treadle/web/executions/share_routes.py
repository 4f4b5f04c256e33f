"""Routes for links to what a run has given: made and ended by people, followed by anybody."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse

from treadle.base.errors import NotFound
from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.engine.store import ExecutionRow
from treadle.features.executions.values import stored_value
from treadle.kernel.records import references
from treadle.web.access import Edits
from treadle.web.bodies import FOUND, OPEN, Done
from treadle.web.executions.answers import shared_run
from treadle.web.executions.bodies import ShareBody, SharedRun
from treadle.web.executions.routes import Bytes, TheDigest
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/api/v2", tags=["sharing"])
PUBLIC = ("/api/v2/share/{token}", "/api/v2/share/{token}/values/{digest}")
"""Whoever has a link may follow it: the token in it is what they need, and it shows outputs only."""
TheToken = Annotated[str, Path(min_length=10, max_length=100)]
_UNLISTED = {"X-Robots-Tag": "noindex, nofollow"}


@router.post("/executions/{execution_id}/share", operation_id="share_execution", status_code=201, responses=OPEN)
async def share_execution(site: TheSite, who: Edits, execution_id: UUID) -> ShareBody:
    """Make a link to what a run has given, for whoever has it. A link that was made before ends."""
    share = await site.executions.shares.make(who.workspace, ExecutionId(execution_id), who.user)
    return ShareBody(token=share.token, path=f"/share/{share.token}", created_at=share.created_at)


@router.delete("/executions/{execution_id}/share", operation_id="end_share", responses=FOUND)
async def end_share(site: TheSite, who: Edits, execution_id: UUID) -> Done:
    """Let the link to a run lead nowhere from now on."""
    id = ExecutionId(execution_id)
    await site.executions.get(who.workspace, id)
    await site.executions.shares.end(who.workspace, id)
    return Done()


@router.get("/share/{token}", operation_id="get_shared", responses=FOUND)
async def get_shared(site: TheSite, token: TheToken, response: Response) -> SharedRun:
    """What a link shows: the agent's name, how the run stands, and its outputs."""
    response.headers.update(_UNLISTED)
    workspace, row = await _shared(site, token)
    name, description = await _about(site, workspace, row)
    return shared_run(row, name, description)


@router.get(
    "/share/{token}/values/{digest}",
    operation_id="get_shared_value",
    responses={**FOUND, **Bytes},
    response_class=Response,
)
async def get_shared_value(site: TheSite, token: TheToken, digest: TheDigest) -> StreamingResponse:
    """A large output of a shared run, by the SHA-256 that stands in its place."""
    workspace, row = await _shared(site, token)
    if not any(each.digest == digest for each in references(row.outputs)):
        raise NotFound("This link shows no such value.")
    value = await stored_value(site.executions.blobs, workspace, digest)
    return StreamingResponse(value.pieces, media_type="application/json", headers=_UNLISTED)


async def _shared(site: Site, token: str) -> tuple[WorkspaceId, ExecutionRow]:
    workspace, id = await site.executions.shares.shared(token)
    return workspace, await site.executions.get(workspace, id)


async def _about(site: Site, workspace: WorkspaceId, row: ExecutionRow) -> tuple[str, str]:
    """The agent's name and description in the version that ran; the plan's name when it is not here any more."""
    try:
        graph = await site.graphs.get(workspace, GraphId(row.graph_id), row.graph_version)
    except NotFound:
        return (await site.executions.plan(row)).name, ""
    return graph.name, str(graph.document.get("description") or "")
