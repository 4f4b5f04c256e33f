"""Routes below ``/api/v2/builder``; here those that run an agent."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.engine.store import ExecutionRow
from treadle.kernel.states import FINAL
from treadle.web.access import Starts
from treadle.web.bodies import FOUND, Responses
from treadle.web.builder import block_routes, graph_routes
from treadle.web.builder.bodies import ExecuteRequest, Started
from treadle.web.executions.answers import run_report
from treadle.web.executions.bodies import RunReport
from treadle.web.idempotency import TheKey
from treadle.web.problems import Failure
from treadle.web.site import Site, TheSite

LONGEST_WAIT = 300.0
"""Seconds that a request may wait for a run."""

router = APIRouter(tags=["builder"])
for each in (block_routes, graph_routes):
    router.include_router(each.router)
Checked: Responses = {
    **FOUND,
    400: {"model": Failure},
}


@router.post(
    "/api/v2/builder/graphs/{graph_id}/execute",
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
