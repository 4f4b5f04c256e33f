"""Routes for runs: ``/api/v2/executions``."""

import time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from treadle.base.errors import BadInput
from treadle.base.ids import ExecutionId, GraphId, NodeId
from treadle.base.paging import Page
from treadle.features.executions.listing import RunFilter
from treadle.features.executions.retrying import Retries
from treadle.features.executions.service import Again
from treadle.web.access import Edits, Reads, Runs, Starts
from treadle.web.bodies import FOUND, OPEN, Done, Responses
from treadle.web.executions.answers import event_body, firing_body, rerun_answer, run_detail, run_list
from treadle.web.executions.bodies import (
    EventList,
    FiringList,
    RerunAnswer,
    RerunRequest,
    RetriedBody,
    RetriedList,
    RetryRequest,
    RunDetail,
    RunList,
    RunQuery,
    StopRequest,
)
from treadle.web.executions.downloading import run_file
from treadle.web.idempotency import TheKey
from treadle.web.site import Site, TheSite

_MOST_EVENTS = 1_000
_MOST_FIRINGS = 1_000

router = APIRouter(prefix="/api/v2/executions", tags=["executions"])
Bytes: Responses = {200: {"content": {"application/json": {"schema": {}}}, "description": "JSON, piece by piece."}}
TheDigest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The SHA-256 that stands in a value's place.")]


@router.get("", operation_id="list_executions", response_model=RunList)
async def list_executions(request: Request, who: Reads, query: Annotated[RunQuery, Query()]) -> Response:
    """Runs, newest first; sub-agents are found at their run."""
    site: Site = request.app.state.site
    lists = site.executions.lists
    page = Page(query.page, query.page_size)
    wanted = RunFilter(
        graph=GraphId(query.graph_id) if query.graph_id is not None else None,
        statuses=tuple(dict.fromkeys(query.status)),
        created_after=query.created_after,
        created_before=query.created_before,
        text=query.search.strip(),
    )
    before = ExecutionId(query.before) if query.before else None
    offset = 0 if before else page.offset
    lines = await lists.encoded_page(who.workspace, wanted, limit=page.size + 1, offset=offset, before=before)
    total = await lists.total(who.workspace, wanted)
    body = run_list(lines[: page.size], page, total, more=len(lines) > page.size)
    return Response(body, media_type="application/json")


@router.post("/retry", operation_id="retry_executions")
async def retry_executions(site: TheSite, who: Starts, body: RetryRequest, key: TheKey = None) -> RetriedList:
    """Retry failed runs from where they failed, each in a new run that keeps what had succeeded.

    A run is retried once: sent again, the request tells what was started before. With another ``Idempotency-Key`` it
    is retried once more.
    """
    if bool(body.execution_ids) == (body.graph_id is not None):
        raise BadInput("Say which runs: by their ids, or by their agent.", fix="Send execution_ids or graph_id.")
    ids = [ExecutionId(each) for each in body.execution_ids]
    retries = Retries(site.executions)
    if body.graph_id is not None:
        ids = await retries.failed_since(who.workspace, GraphId(body.graph_id), body.since)
    results = await retries.retry(who.workspace, ids, key)
    return RetriedList(
        results=[
            RetriedBody(
                execution_id=each.id, started=each.started, kept=each.kept, reason=each.reason, message=each.message
            )
            for each in results
        ]
    )


@router.get("/{execution_id}", operation_id="get_execution", responses=FOUND)
async def get_execution(site: TheSite, who: Reads, execution_id: UUID) -> RunDetail:
    """One run, with its first firings."""
    row = await site.executions.get(who.workspace, ExecutionId(execution_id))
    return await run_detail(site.executions, row)


@router.delete("/{execution_id}", operation_id="delete_execution", responses=OPEN)
async def delete_execution(site: TheSite, who: Edits, execution_id: UUID) -> Done:
    """Remove a run that is over, its sub-agents, and all that is recorded of them, for good."""
    await site.executions.delete(who.workspace, ExecutionId(execution_id))
    return Done()


@router.get("/{execution_id}/firings", operation_id="list_firings", responses=FOUND)
async def list_firings(
    site: TheSite,
    who: Reads,
    execution_id: UUID,
    after: Annotated[int, Query(ge=0, le=2**53, description="The number of the last firing that is known.")] = 0,
    limit: Annotated[int, Query(description="From 1 to 1000.")] = _MOST_FIRINGS,
) -> FiringList:
    """What happened in a run, firing by firing: inputs, outputs, times, failures."""
    wanted = min(max(limit, 1), _MOST_FIRINGS)
    found = await site.executions.firings(who.workspace, ExecutionId(execution_id), after=after, limit=wanted)
    shown = [firing_body(each) for each in found.firings]
    return FiringList(firings=shown, next_after=shown[-1].number if found.more and shown else None)


@router.get("/{execution_id}/events", operation_id="list_events", responses=FOUND)
async def list_events(
    site: TheSite,
    who: Reads,
    execution_id: UUID,
    after: Annotated[int, Query(ge=0, le=2**62, description="The number of the last event that is known.")] = 0,
    limit: Annotated[int, Query(description="From 1 to 1000.")] = _MOST_EVENTS,
) -> EventList:
    """The records of a run that follow a number, in order and without gaps."""
    id = ExecutionId(execution_id)
    status = (await site.executions.get(who.workspace, id)).status
    wanted = min(max(limit, 1), _MOST_EVENTS)
    events = await site.executions.events(who.workspace, id, after=after, limit=wanted)
    return EventList(events=[event_body(number, record) for number, record in events], status=status)


@router.get(
    "/{execution_id}/values/{digest}", operation_id="get_value", responses={**FOUND, **Bytes}, response_class=Response
)
async def get_value(site: TheSite, who: Reads, execution_id: UUID, digest: TheDigest) -> StreamingResponse:
    """A large value of a run, by the SHA-256 that stands in its place."""
    value = await site.executions.value(who.workspace, ExecutionId(execution_id), digest)
    return StreamingResponse(value.pieces, media_type="application/json")


@router.get(
    "/{execution_id}/download", operation_id="download_execution", responses={**FOUND, **Bytes}, response_class=Response
)
async def download_execution(site: TheSite, who: Reads, execution_id: UUID) -> StreamingResponse:
    """A run and its sub-agents as one JSON file: agent, inputs, outputs, firings, events, values; without secrets."""
    id = ExecutionId(execution_id)
    pieces = await run_file(site, who.workspace, id)
    headers = {"Content-Disposition": f'attachment; filename="run-{id}.json"'}
    return StreamingResponse(pieces, media_type="application/json", headers=headers)


@router.post("/{execution_id}/stop", operation_id="stop_execution", status_code=202, responses=OPEN)
async def stop_execution(site: TheSite, who: Runs, execution_id: UUID, body: StopRequest | None = None) -> Done:
    """Stop a run and all its sub-agents. Stopping twice is stopping once."""
    await site.executions.stop(who.workspace, ExecutionId(execution_id), reason=body.reason if body else "")
    return Done()


@router.post("/{execution_id}/rerun", operation_id="rerun_execution", status_code=202, responses=OPEN)
async def rerun_execution(
    site: TheSite, who: Starts, execution_id: UUID, body: RerunRequest, key: TheKey = None
) -> RerunAnswer:
    """Run again from a firing or a node, in a new run; what does not follow from that is kept."""
    if (body.firing is None) == (body.node is None):
        raise BadInput("Say from where: from a firing or from a node.", fix="Send firing or node.")
    id = ExecutionId(execution_id)
    firings = () if body.firing is None else (body.firing,)
    again = Again(firings, NodeId(body.node) if body.node else None, body.edits, body.newest)
    if body.preview:
        return rerun_answer(None, await site.executions.rerun_preview(who.workspace, id, again))
    now_ms = time.time_ns() // 1_000_000
    return rerun_answer(*await site.executions.rerun(who.workspace, id, again, key=key, now_ms=now_ms))
