"""Routes for runs: ``/api/v2/executions`` and ``/api/v2/reviews``."""

import time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from treadle.base.ids import ExecutionId
from treadle.kernel.states import Status
from treadle.web.access import Reads, Runs, Starts
from treadle.web.bodies import FOUND, OPEN, Done, Responses
from treadle.web.executions.answers import event_body, firing_body, review_body, run_detail, run_summary
from treadle.web.executions.bodies import (
    DecisionRequest,
    EventList,
    FiringList,
    Repeat,
    RerunAnswer,
    RerunRequest,
    ReviewList,
    RunDetail,
    RunList,
    StopRequest,
)
from treadle.web.problems import Failure
from treadle.web.site import TheSite

_MOST_RUNS = 100
_MOST_EVENTS = 1_000

TheFiring = Annotated[int, Path(ge=1, le=2**31 - 1)]
router = APIRouter(prefix="/api/v2", tags=["executions"])
Chosen: Responses = {**FOUND, 400: {"model": Failure, "description": "There is no such firing."}}


@router.get("/executions", operation_id="list_executions")
async def list_executions(
    site: TheSite,
    who: Reads,
    before: Annotated[UUID | None, Query(description="Continue a list behind this run.")] = None,
    limit: Annotated[int, Query(description="From 1 to 100.")] = 20,
    status: Annotated[Status | None, Query(description="Only runs that stand so.")] = None,
) -> RunList:
    """Runs, newest first; sub-agents are found at their run."""
    wanted = min(max(limit, 1), _MOST_RUNS)
    after = ExecutionId(before) if before else None
    rows = await site.executions.listed(who.workspace, limit=wanted + 1, before=after, status=status)
    more = len(rows) > wanted
    shown = [run_summary(row) for row in rows[:wanted]]
    return RunList(executions=shown, next_before=shown[-1].id if more else None)


@router.get("/executions/{execution_id}", operation_id="get_execution", responses=FOUND)
async def get_execution(site: TheSite, who: Reads, execution_id: UUID) -> RunDetail:
    """One run."""
    row = await site.executions.get(who.workspace, ExecutionId(execution_id))
    return await run_detail(site.executions, row)


@router.get("/executions/{execution_id}/firings", operation_id="list_firings", responses=FOUND)
async def list_firings(site: TheSite, who: Reads, execution_id: UUID) -> FiringList:
    """What happened in a run, firing by firing: inputs, outputs, times, failures."""
    firings = await site.executions.firings(who.workspace, ExecutionId(execution_id))
    return FiringList(firings=[firing_body(each) for each in firings])


@router.get("/executions/{execution_id}/events", operation_id="list_events", responses=FOUND)
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


@router.post("/executions/{execution_id}/stop", operation_id="stop_execution", status_code=202, responses=OPEN)
async def stop_execution(site: TheSite, who: Runs, execution_id: UUID, body: StopRequest | None = None) -> Done:
    """Stop a run and all its sub-agents. Stopping twice is stopping once."""
    await site.executions.stop(who.workspace, ExecutionId(execution_id), reason=body.reason if body else "")
    return Done()


@router.get("/executions/{execution_id}/reviews", operation_id="list_reviews_of_execution", responses=FOUND)
async def list_reviews_of_execution(site: TheSite, who: Reads, execution_id: UUID) -> ReviewList:
    """What waits for a person in a run and its sub-agents, oldest first, with all of its data."""
    reviews = await site.executions.reviews_of(who.workspace, ExecutionId(execution_id))
    return ReviewList(reviews=[review_body(each) for each in reviews])


@router.post(
    "/executions/{execution_id}/reviews/{firing}", operation_id="decide_review", status_code=202, responses=OPEN
)
async def decide_review(site: TheSite, who: Runs, execution_id: UUID, firing: TheFiring, body: DecisionRequest) -> Done:
    """Decide on what waits for a person; the first decision counts."""
    await site.executions.decide(
        who.workspace,
        ExecutionId(execution_id),
        firing,
        approved=body.approved,
        data=body.data,
        message=body.message,
        always=body.always,
    )
    return Done()


@router.post("/executions/{execution_id}/rerun", operation_id="rerun_execution", status_code=202, responses=Chosen)
async def rerun_execution(site: TheSite, who: Starts, execution_id: UUID, body: RerunRequest) -> RerunAnswer:
    """Run again from a firing, in a new run; what does not follow from that firing is kept."""
    id = ExecutionId(execution_id)
    started = None
    if body.preview:
        found = await site.executions.rerun_preview(who.workspace, id, body.firing, newest=body.newest)
    else:
        now_ms = time.time_ns() // 1_000_000
        started, found = await site.executions.rerun(
            who.workspace, id, body.firing, edits=body.edits, newest=body.newest, now_ms=now_ms
        )
    repeats = [Repeat(firing=number, node=node) for number, node in found.repeats]
    return RerunAnswer(execution_id=started, kept=found.kept, repeats=repeats)


@router.get("/reviews", operation_id="list_reviews")
async def list_reviews(site: TheSite, who: Reads) -> ReviewList:
    """What waits for a person, oldest first, in all runs; of data over 64 KiB only size and SHA-256.

    ``/api/v2/executions/{execution_id}/reviews`` gives all of it.
    """
    return ReviewList(reviews=[review_body(each) for each in await site.executions.open_reviews(who.workspace)])
