"""``GET /api/v2/executions/{id}/stream``."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from treadle.base.ids import ExecutionId
from treadle.features.accounts.access import Identity
from treadle.web.access import IDENTITY, Reads
from treadle.web.bodies import FOUND, Responses
from treadle.web.guard import bearer_of
from treadle.web.live.stream import EventStream
from treadle.web.problems import Failure
from treadle.web.site import TheSite

_DESCRIPTION = "Server-sent events. The data of each is a message of live events (see docs/live-events.md); its id is "
_ANSWERS: Responses = {
    **FOUND,
    200: {
        "description": "The events, as they happen. Ends after the last one.",
        "content": {"text/event-stream": {"schema": {"type": "string", "description": _DESCRIPTION + "its number."}}},
    },
    204: {"description": "The run is over, and there is nothing after that number: do not connect again."},
    503: {"model": Failure, "description": "Too many connections, or the server stops."},
}
_MOST = 2**53

router = APIRouter(prefix="/api/v2", tags=["executions"])


@router.get(
    "/executions/{execution_id}/stream",
    operation_id="stream_execution",
    response_class=Response,
    responses=_ANSWERS,
)
async def stream_execution(
    request: Request,
    site: TheSite,
    who: Reads,
    execution_id: UUID,
    after: Annotated[int, Query(ge=0, le=_MOST, description="The number of the last event that is known.")] = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=_MOST, description="The same, sent by clients that connect again; goes first.")
    ] = None,
) -> Response:
    """The events of a run after a number, and then what happens, until its end; without those of its sub-agents."""
    subject = await site.feed.past.subject(who.workspace, ExecutionId(execution_id))
    identity: Identity = request.scope[IDENTITY]
    known = after if last_event_id is None else last_event_id
    stream = EventStream(site.feed, site.visitors, subject, known, bearer_of(dict(request.scope["headers"])), identity)
    return Response(status_code=204) if stream.is_over else stream
