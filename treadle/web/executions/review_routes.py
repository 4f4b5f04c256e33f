"""Routes for what waits for a person: ``/api/v2/reviews``, and that of one run."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from treadle.base.errors import TreadleError
from treadle.base.ids import ExecutionId
from treadle.features.executions.reviews import Decision
from treadle.web.access import Reads, Runs
from treadle.web.bodies import FOUND, OPEN, Done, ThePage, pagination
from treadle.web.executions.answers import review_body
from treadle.web.executions.bodies import (
    Decided,
    DecidedList,
    DecisionRequest,
    DecisionsRequest,
    ReviewList,
    ReviewPage,
)
from treadle.web.site import TheSite

router = APIRouter(prefix="/api/v2", tags=["reviews"])
Firing = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/reviews", operation_id="list_reviews")
async def list_reviews(site: TheSite, who: Reads, page: ThePage) -> ReviewPage:
    """What waits for a person, oldest first, in all runs; of data over 64 KiB only size and SHA-256.

    ``/api/v2/executions/{execution_id}/reviews`` gives all of it.
    """
    found, total = await site.executions.reviews.waiting(who.workspace, page)
    return ReviewPage(reviews=[review_body(each) for each in found], pagination=pagination(page, total))


@router.post("/reviews/decide", operation_id="decide_reviews")
async def decide_reviews(site: TheSite, who: Runs, body: DecisionsRequest) -> DecidedList:
    """Decide on several reviews, of one run or of many. One that does not count holds up no other."""
    results = []
    for each in body.decisions:
        decision = _decision(each.execution_id, each.firing, each)
        try:
            await site.executions.reviews.decide(who.workspace, decision)
        except TreadleError as error:
            failed = {"reason": error.code, "message": error.message}
            results.append(Decided(execution_id=each.execution_id, firing=each.firing, ok=False, **failed))
        else:
            results.append(Decided(execution_id=each.execution_id, firing=each.firing, ok=True))
    return DecidedList(results=results)


@router.get("/executions/{execution_id}/reviews", operation_id="list_reviews_of_execution", responses=FOUND)
async def list_reviews_of_execution(site: TheSite, who: Reads, execution_id: UUID) -> ReviewList:
    """All that a run and its sub-agents have asked, oldest first, decided or not, with all of the data."""
    row = await site.executions.get(who.workspace, ExecutionId(execution_id))
    found = await site.executions.reviews.of_run(who.workspace, row.root_id)
    return ReviewList(reviews=[review_body(each) for each in found])


@router.post(
    "/executions/{execution_id}/reviews/{firing}", operation_id="decide_review", status_code=202, responses=OPEN
)
async def decide_review(site: TheSite, who: Runs, execution_id: UUID, firing: Firing, body: DecisionRequest) -> Done:
    """Decide on what waits for a person. The first decision counts; the same one again changes nothing."""
    await site.executions.reviews.decide(who.workspace, _decision(execution_id, firing, body))
    return Done()


def _decision(id: UUID, firing: int, body: DecisionRequest) -> Decision:
    return Decision(ExecutionId(id), firing, body.approved, data=body.data, message=body.message, always=body.always)
