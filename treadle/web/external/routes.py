"""Routes below ``/external-api/v1``. They do what the app's own routes do, through the same services."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from treadle.base.errors import NotFound
from treadle.base.ids import BlockId, ExecutionId, GraphId
from treadle.base.paging import Page
from treadle.engine.endings import Ended
from treadle.engine.secrets import masked
from treadle.engine.store import ExecutionRow
from treadle.features.accounts.access import Identity, Permission, Principal, Scope
from treadle.features.accounts.profiles import name_of
from treadle.features.executions.plain import plain_value
from treadle.features.executions.starting import Wanted, WantedBlock
from treadle.features.graphs.listing import GraphQuery
from treadle.kernel.states import Status
from treadle.web.access import IDENTITY, Scoped
from treadle.web.bodies import FOUND, OPEN, Done, ThePage, pagination
from treadle.web.executions.bodies import BlockReport
from treadle.web.executions.starting import STARTED, Wait, goes_on, has_ended, seconds_of, started_block
from treadle.web.external.bodies import (
    AgentQuery,
    ExternalBlock,
    ExternalBlockList,
    ExternalBlockRequest,
    ExternalExecuteRequest,
    ExternalGraph,
    ExternalGraphDetail,
    ExternalGraphList,
    ExternalMe,
    ExternalResults,
    RunAgentRequest,
)
from treadle.web.idempotency import TheKeyHeader, checked_key
from treadle.web.site import Site, TheSite

if TYPE_CHECKING:
    from treadle.features.graphs.models import GraphHead

Version = Annotated[int, Path(ge=1, le=2**31 - 1)]

Me = Annotated[Principal, Depends(Scoped(Scope.IDENTITY, Permission.SELF))]
ReadsBlocks = Annotated[Principal, Depends(Scoped(Scope.READ_BLOCK, Permission.READ))]
RunsBlocks = Annotated[Principal, Depends(Scoped(Scope.EXECUTE_BLOCK, Permission.RUN, starts_runs=True))]
ReadsGraphs = Annotated[Principal, Depends(Scoped(Scope.READ_GRAPH, Permission.READ))]
StopsGraphs = Annotated[Principal, Depends(Scoped(Scope.EXECUTE_GRAPH, Permission.RUN))]
RunsGraphs = Annotated[Principal, Depends(Scoped(Scope.EXECUTE_GRAPH, Permission.RUN, starts_runs=True))]
FindsAgents = Annotated[Principal, Depends(Scoped(Scope.USE_TOOLS, Permission.READ))]
RunsAgents = Annotated[Principal, Depends(Scoped(Scope.USE_TOOLS, Permission.RUN, starts_runs=True))]
Search = Annotated[str, Query(max_length=200, description="Words of the name or the description.")]

router = APIRouter(prefix="/external-api/v1", tags=["external"])


@router.get("/me", operation_id="external_get_me", responses=FOUND)
async def get_me(site: TheSite, who: Me, request: Request) -> ExternalMe:
    """Whose key it is, and what for."""
    identity: Identity = request.scope[IDENTITY]
    user = await site.workspaces.person(who.user)
    return ExternalMe(
        id=who.user,
        email=user.email,
        name=name_of(user),
        workspace_id=who.workspace,
        role=who.role,
        scopes=sorted(identity.scopes),
    )


@router.get("/blocks", operation_id="external_list_blocks")
async def list_blocks(site: TheSite, who: ReadsBlocks) -> ExternalBlockList:
    """The blocks that may be used here."""
    usable = sorted((each for each in site.registry if not each.disabled), key=lambda block: block.name)
    return ExternalBlockList(
        blocks=[
            ExternalBlock(
                id=each.id,
                name=each.name,
                description=each.description,
                categories=list(each.categories),
                input_schema=dict(each.input_schema),
                output_schema=dict(each.output_schema),
            )
            for each in usable
        ]
    )


@router.post(
    "/blocks/{block_id}/execute",
    operation_id="external_execute_block",
    response_model=BlockReport,
    responses=STARTED,
)
async def execute_block(
    site: TheSite,
    who: RunsBlocks,
    block_id: str,
    body: ExternalBlockRequest,
    wait: Wait = 30,
    idempotency_key: TheKeyHeader = None,
) -> Response | BlockReport:
    """Run one block by itself, as a run like every other: 200 when it ends within ``wait`` seconds, else 202."""
    wanted = WantedBlock(BlockId(block_id), body.input_data, {}, {}, checked_key(idempotency_key))
    return await started_block(site, who.workspace, wanted, wait)


@router.get("/graphs", operation_id="external_list_graphs")
async def list_graphs(site: TheSite, who: ReadsGraphs, page: ThePage, search: Search = "") -> ExternalGraphList:
    """The agents of the workspace, the last changed first."""
    heads, total = await site.graphs.page(who.workspace, GraphQuery(page, search))
    return ExternalGraphList(graphs=[_graph(head) for head in heads], pagination=pagination(page, total))


@router.get("/graphs/{graph_id}", operation_id="external_get_graph", responses=FOUND)
async def get_graph(site: TheSite, who: ReadsGraphs, graph_id: str) -> ExternalGraphDetail:
    """An agent, with what its active version takes and gives."""
    head = await site.graphs.head(who.workspace, GraphId(graph_id))
    takes, gives = await site.graphs.schemas(who.workspace, GraphId(graph_id), head.active_version)
    return ExternalGraphDetail(**_graph(head).model_dump(), input_schema=takes, output_schema=gives)


@router.post(
    "/graphs/{graph_id}/execute/{version}",
    operation_id="external_execute_graph",
    response_model=ExternalResults,
    responses=STARTED,
)
async def execute_graph(
    site: TheSite,
    who: RunsGraphs,
    graph_id: str,
    version: Version,
    body: ExternalExecuteRequest,
    wait: Wait = 0,
    idempotency_key: TheKeyHeader = None,
) -> Response:
    """Run a version of an agent: 200 with its outputs when it ends within ``wait`` seconds, else 202 with its id."""
    wanted = Wanted(GraphId(graph_id), body.inputs, version, {}, {}, checked_key(idempotency_key))
    return await _run(site, who, wanted, wait)


@router.get(
    "/graphs/{graph_id}/executions/{execution_id}/results", operation_id="external_get_results", responses=FOUND
)
async def get_results(site: TheSite, who: ReadsGraphs, graph_id: str, execution_id: UUID) -> ExternalResults:
    """How a run stands, and its outputs once it has ended well."""
    row = await _row(site, who, graph_id, execution_id)
    return _results(row.id, await site.executions.ended(row))


@router.post(
    "/graphs/{graph_id}/executions/{execution_id}/stop",
    operation_id="external_stop_execution",
    status_code=202,
    responses=OPEN,
)
async def stop_execution(site: TheSite, who: StopsGraphs, graph_id: str, execution_id: UUID) -> Done:
    """Stop a run."""
    row = await _row(site, who, graph_id, execution_id)
    await site.executions.stop(who.workspace, row.id, reason="A program has stopped it.")
    return Done()


@router.post("/tools/find-agent", operation_id="external_find_agent")
async def find_agent(site: TheSite, who: FindsAgents, body: AgentQuery) -> ExternalGraphList:
    """The agents of the workspace in whose names and descriptions the words stand."""
    page = Page(1, 20)
    heads, total = await site.graphs.page(who.workspace, GraphQuery(page, body.query))
    return ExternalGraphList(graphs=[_graph(head) for head in heads], pagination=pagination(page, total))


@router.post("/tools/run-agent", operation_id="external_run_agent", response_model=ExternalResults, responses=STARTED)
async def run_agent(
    site: TheSite, who: RunsAgents, body: RunAgentRequest, wait: Wait = 0, idempotency_key: TheKeyHeader = None
) -> Response:
    """Run the active version of an agent that was found."""
    wanted = Wanted(GraphId(body.agent_id), body.inputs, None, {}, {}, checked_key(idempotency_key))
    return await _run(site, who, wanted, wait)


async def _run(site: Site, who: Principal, wanted: Wanted, wait: float) -> Response:
    id, ended = await site.executions.run(who.workspace, wanted, seconds_of(wait))
    if has_ended(ended, wait):
        return Response(_results(id, ended).model_dump_json(), media_type="application/json")
    return goes_on(id, ended)


async def _row(site: Site, who: Principal, graph_id: str, execution_id: UUID) -> ExecutionRow:
    """The run, if it is one of this agent. Raises ``NotFound``."""
    row = await site.executions.get(who.workspace, ExecutionId(execution_id))
    if row.graph_id != graph_id:
        raise NotFound(f"The agent {graph_id} has no run {execution_id}.", fix="Use the id that starting it gave.")
    return row


def _results(id: ExecutionId, ended: Ended) -> ExternalResults:
    outputs: dict[str, list[Any]] = {}
    for name, value in ended.outputs:
        outputs.setdefault(name, []).append(plain_value(masked(value)))
    shown = outputs if ended.status == Status.COMPLETED else None
    return ExternalResults(execution_id=id, status=ended.status, outputs=shown, error=ended.error)


def _graph(head: "GraphHead") -> ExternalGraph:
    return ExternalGraph(id=head.id, version=head.active_version, name=head.name, description=head.description)
