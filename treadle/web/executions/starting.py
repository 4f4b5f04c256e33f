"""``POST /api/v2/builder/{graphs|blocks}/{id}/execute``: runs are started here."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from treadle.base.ids import BlockId, ExecutionId, GraphId, WorkspaceId
from treadle.engine.endings import Ended
from treadle.features.executions.starting import Wanted, WantedBlock
from treadle.kernel.states import FINAL
from treadle.sdk.credentials import CredentialsRef
from treadle.web.access import Starts
from treadle.web.bodies import FOUND, Responses
from treadle.web.executions.answers import block_report, ended_json
from treadle.web.executions.bodies import (
    BlockExecuteRequest,
    BlockReport,
    CredentialsChoice,
    ExecuteRequest,
    RunReport,
    Started,
)
from treadle.web.idempotency import TheKeyHeader, checked_key
from treadle.web.site import Site, TheSite

LONGEST_WAIT = 300.0
"""Seconds that a request may wait for a run."""
Wait = Annotated[float, Query(description="Seconds to wait for the end, at most 300.")]
STARTED: Responses = {**FOUND, 202: {"model": Started, "description": "It runs; ask for it by its id."}}
"""What else a route that starts a run may answer."""

router = APIRouter(prefix="/api/v2/builder", tags=["executions"])


@router.post(
    "/graphs/{graph_id}/execute",
    operation_id="execute_graph",
    response_model=RunReport,
    responses=STARTED,
)
async def execute_graph(
    request: Request,
    who: Starts,
    graph_id: str,
    body: ExecuteRequest,
    wait: Wait = 0,
    idempotency_key: TheKeyHeader = None,
) -> Response:
    """Start a run: 200 with its outputs when it ends within ``wait`` seconds, else 202 with its id."""
    site: Site = request.app.state.site
    key = checked_key(idempotency_key)
    chosen = chosen_credentials(body.credentials)
    wanted = Wanted(GraphId(graph_id), body.input_data, body.version, body.given(), chosen, key)
    return await started(site, who.workspace, wanted, wait)


async def started(site: Site, workspace: WorkspaceId, wanted: Wanted, wait: float) -> Response:
    """Start a run, and answer with its outputs when it ends within ``wait`` seconds, else with its id."""
    id, ended = await site.executions.run(workspace, wanted, seconds_of(wait))
    if has_ended(ended, wait):
        return Response(ended_json(id, ended), media_type="application/json")
    return goes_on(id, ended)


@router.post(
    "/blocks/{block_id}/execute",
    operation_id="execute_block",
    response_model=BlockReport,
    responses=STARTED,
)
async def execute_block(
    site: TheSite,
    who: Starts,
    block_id: str,
    body: BlockExecuteRequest,
    wait: Wait = 30,
    idempotency_key: TheKeyHeader = None,
) -> Response | BlockReport:
    """Run one block by itself: 200 with its outputs when it ends within ``wait`` seconds, else 202 with its id.

    It is a run like every other: recorded, limited and charged.
    """
    chosen = chosen_credentials(body.credentials)
    settings = {"safe_mode": body.safe_mode}
    wanted = WantedBlock(BlockId(block_id), body.input_data, settings, chosen, checked_key(idempotency_key))
    return await started_block(site, who.workspace, wanted, wait)


async def started_block(site: Site, workspace: WorkspaceId, wanted: WantedBlock, wait: float) -> Response | BlockReport:
    """The same for a block."""
    id, ended = await site.executions.run_block(workspace, wanted, seconds_of(wait))
    return block_report(id, ended) if has_ended(ended, wait) else goes_on(id, ended)


def seconds_of(wait: float) -> float:
    """How long a request really waits."""
    return min(max(wait, 0.0), LONGEST_WAIT)


def has_ended(ended: Ended, wait: float) -> bool:
    """Whether a request that waits is answered with the end; who does not wait always gets the id."""
    return wait > 0 and ended.status in FINAL


def goes_on(id: ExecutionId, ended: Ended) -> Response:
    """The answer with the id of a run."""
    body = Started(execution_id=id, status=ended.status).model_dump_json()
    return Response(body, 202, {"Location": f"/api/v2/executions/{id}"}, media_type="application/json")


def chosen_credentials(choices: Mapping[str, CredentialsChoice]) -> dict[str, CredentialsRef]:
    """Credentials as a run names them."""
    return {name: CredentialsRef(**each.model_dump()) for name, each in choices.items()}
