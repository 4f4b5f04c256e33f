"""``/metrics`` for Prometheus."""

import hmac

from fastapi import APIRouter, Request, Response

from treadle.base.errors import Forbidden, Unauthorised
from treadle.features.accounts.access import Identity
from treadle.web.access import IDENTITY
from treadle.web.edge import Edge
from treadle.web.metrics import CONTENT_TYPE, HttpMetrics

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The figures of this process, for whoever may see them."""
    _check_reader(request)
    figures: HttpMetrics = request.app.state.metrics
    return Response(figures.exposition(), media_type=CONTENT_TYPE)


def _check_reader(request: Request) -> None:
    """Raises ``Unauthorised`` or ``Forbidden``."""
    edge: Edge = request.app.state.edge
    given = request.headers.get("authorization", "").partition(" ")[2].strip()
    if edge.metrics_token and hmac.compare_digest(given.encode(), edge.metrics_token.encode()):
        return
    identity: Identity | None = request.scope.get(IDENTITY)
    if identity is None and not (edge.local_only and not edge.metrics_token):
        raise Unauthorised("Metrics need a token.", fix="Send that of METRICS_TOKEN, or an administrator's.")
    if identity is not None and not identity.admin:
        raise Forbidden("Metrics are for administrators.", fix="Use the token of METRICS_TOKEN.")
