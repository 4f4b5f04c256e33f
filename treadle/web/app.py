"""The HTTP interface as one ASGI application."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import WebSocketRoute

from treadle.base.errors import RateLimited, TreadleError, Unavailable
from treadle.base.logging import request_id
from treadle.base.outages import outage
from treadle.web import docs, health, monitoring
from treadle.web.access import declare_access
from treadle.web.accounts import routes as accounts
from treadle.web.administration import audit_routes
from treadle.web.administration import routes as administration
from treadle.web.api_keys import routes as api_keys
from treadle.web.auth import provider_routes, setup
from treadle.web.auth import routes as auth
from treadle.web.builder import block_routes, graph_routes, menu_routes
from treadle.web.edge import Edge
from treadle.web.executions import review_routes, share_routes, starting
from treadle.web.executions import routes as executions
from treadle.web.external import routes as external
from treadle.web.files import routes as files
from treadle.web.guard import Guard
from treadle.web.integrations import routes as integrations
from treadle.web.invitations import routes as invitations
from treadle.web.library import agent_routes, folder_routes, preset_routes
from treadle.web.live import routes as live
from treadle.web.live.socket import LiveSockets
from treadle.web.metrics import HttpMetrics
from treadle.web.observing import Observed
from treadle.web.problems import Failure, ProblemBody, failure, failure_of
from treadle.web.proxies import TrustedProxies
from treadle.web.request_bodies import Refused, incomplete
from treadle.web.site import Site

PUBLIC = (
    "/health",
    "/health/ready",
    "/metrics",
    "/docs",
    "/docs/start.js",
    "/docs/{name}",
    *share_routes.PUBLIC,
    *auth.PUBLIC,
    *provider_routes.PUBLIC,
    *setup.PUBLIC,
    *invitations.PUBLIC,
)
"""The routes that need no token. A new one does not belong here without a reason."""
_log = logging.getLogger(__name__)


def make_app(site: Site, edge: Edge) -> Observed:
    """The interface of a running platform, behind the edge that its operator wants."""
    app = make_routes(site.version)
    app.state.site = site
    app.state.edge = edge
    sockets = LiveSockets(site.accounts, site.feed, site.visitors, edge)
    app.router.routes.append(WebSocketRoute("/ws", sockets, name="live"))
    guard = Guard(app, site.accounts, edge)
    return Observed(guard, app.state.metrics, TrustedProxies(edge.proxies), edge.tracer)


def make_routes(version: str) -> FastAPI:
    """All routes and their description, which needs no running platform."""
    app = FastAPI(
        title="Treadle",
        version=version,
        description="Build, run and share AI agents as graphs of blocks.",
        docs_url=None,
        redoc_url=None,
        responses={
            400: {"model": Failure, "description": "The request cannot be read."},
            401: {"model": Failure, "description": "The token is missing or not good."},
            403: {"model": Failure, "description": "You may not do this."},
            404: {"model": Failure, "description": "There is no such thing, or no such workspace."},
            413: {"model": Failure, "description": "The body is too large."},
            415: {"model": Failure, "description": "The body is of the wrong type."},
            422: {"model": Failure, "description": "What was sent cannot be used."},
            429: {"model": Failure, "description": "Too many requests; Retry-After says when to come again."},
            503: {"model": Failure, "description": "Something that is needed does not answer; try again later."},
        },
    )
    app.state.metrics = HttpMetrics()
    people = (auth, provider_routes, setup, accounts, invitations, api_keys, files, integrations, external)
    administrators = (administration, audit_routes)
    library = (agent_routes, folder_routes, preset_routes)
    runs = (starting, executions, live, review_routes, share_routes)
    # They are tried one after the other: those that are asked for most come first.
    for each in (
        *runs,
        block_routes,
        graph_routes,
        menu_routes,
        *library,
        *people,
        *administrators,
        health,
        docs,
        monitoring,
    ):
        app.include_router(each.router)
    app.include_router(setup.pages)
    declare_access(app, PUBLIC)
    app.add_exception_handler(TreadleError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Refused, _stopped)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)
    return app


async def _expected(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TreadleError)
    if error.status >= 500:
        _log.error("%s %s", error.message, error.fix)
    if error.status >= 500 and not isinstance(error, Unavailable):
        return await _unexpected(request, error)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse(failure_of(error).model_dump(mode="json"), error.status, headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [
        ProblemBody(code=str(each["type"]), message=str(each["msg"]), place=".".join(map(str, each["loc"]))[:500])
        for each in error.errors()[:100]
    ]
    first = f" {problems[0].place}: {problems[0].message}." if problems else ""
    message = f"The request is not of the right form.{first}"
    return _answer(422, failure(422, "invalid_request", message, "See /docs for it.", problems))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    reason = {404: "not_found", 405: "method_not_allowed"}.get(status, "bad_request")
    message = f"{error.detail}.".replace("..", ".")
    return _answer(status, failure(status, reason, message, "See /docs for what there is."))


async def _gone(request: Request, error: Exception) -> JSONResponse:
    """Whoever sent a body left before its end: nobody reads this but the log, for which it is no failure of ours."""
    return await _stopped(request, incomplete())


async def _stopped(request: Request, error: Exception) -> JSONResponse:
    """A body that was refused while a route read it: what was not read must not be taken for the next request."""
    assert isinstance(error, Refused)
    return JSONResponse(error.failure.model_dump(mode="json"), error.status, {"Connection": "close"})


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    away = outage(error)
    if away is not None:
        return _answer(away.status, failure_of(away))
    message, fix = "The server failed on this request.", "The server's log says why, under the trace id."
    return _answer(500, failure(500, "internal_error", message, fix, trace_id=request_id.get()))


def _answer(status: int, body: Failure) -> JSONResponse:
    return JSONResponse(body.model_dump(mode="json"), status)
