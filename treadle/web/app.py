"""The HTTP interface as one ASGI application."""

import asyncio
import logging
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from treadle.base.errors import NotFound, TreadleError
from treadle.web import builder, executions
from treadle.web.guard import Guard
from treadle.web.models import Health
from treadle.web.problems import Failure, FailureBody, ProblemBody, failure_of
from treadle.web.site import Site, TheSite

_DATABASE_SECONDS = 2.0
_ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_DOCS_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Treadle: HTTP interface</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon.png"></head>
<body><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
"""
_DOCS_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});\n'
_log = logging.getLogger(__name__)


def make_app(site: Site, *, names: Iterable[str] = (), origins: Iterable[str] = ()) -> Guard:
    """The application for a running platform.

    ``names`` and ``origins`` are those under which it may be reached beside its own address: see ``Guard``.
    """
    app = FastAPI(
        title="Treadle",
        version=site.version,
        description="Build, run and share AI agents as graphs of blocks.",
        docs_url=None,
        redoc_url=None,
        responses={401: {"model": Failure, "description": "The token is missing or wrong."}},
    )
    app.state.site = site
    app.include_router(builder.router)
    app.include_router(executions.router)
    app.add_api_route("/health", health, operation_id="get_health", responses={503: {"model": Health}})
    _add_docs(app)
    app.add_exception_handler(TreadleError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _unexpected)
    return Guard(app, site.token, names, origins)


async def health(site: TheSite) -> JSONResponse:
    """Whether the server lives; needs no token, and tells nothing else."""
    alive = await _database_answers(site.worker.pool)
    body = Health(status="ok" if alive else "degraded", version=site.version, database=alive)
    return JSONResponse(body.model_dump(), status_code=200 if alive else 503)


async def _database_answers(pool: asyncpg.Pool) -> bool:
    try:
        return await asyncio.wait_for(pool.fetchval("SELECT true"), _DATABASE_SECONDS) is True
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def _add_docs(app: FastAPI) -> None:
    """The interactive documentation, which loads nothing from elsewhere."""

    async def page() -> HTMLResponse:
        return HTMLResponse(_DOCS_PAGE, headers={"Content-Security-Policy": _DOCS_POLICY})

    async def start() -> HTMLResponse:
        return HTMLResponse(_DOCS_START, media_type="text/javascript")

    async def asset(name: str) -> FileResponse:
        package = find_spec("fastapi_offline")
        if name not in _ASSETS or package is None or package.origin is None:
            raise NotFound(f"There is no file {name[:100]}.")
        return FileResponse(Path(package.origin).parent / "static" / name)

    app.add_api_route("/docs", page, include_in_schema=False)
    app.add_api_route("/docs/start.js", start, include_in_schema=False)
    app.add_api_route("/docs/{name}", asset, include_in_schema=False)


async def _expected(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TreadleError)
    if error.status >= 500:
        _log.error("%s %s", error.message, error.fix)
        return await _unexpected(request, error)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(failure_of(error).model_dump(mode="json"), error.status, headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [
        ProblemBody(code=str(each["type"]), message=str(each["msg"]), place=".".join(map(str, each["loc"]))[:500])
        for each in error.errors()[:100]
    ]
    return _failure(422, "invalid_request", "The request is not of the right form.", "See /docs for it.", problems)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    return _failure(error.status_code, code, f"{error.detail}.".replace("..", "."), "See /docs for what there is.")


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return _failure(500, "internal_error", "The server failed on this request.", "The server's log says why.")


def _failure(status: int, code: str, message: str, fix: str, problems: Iterable[ProblemBody] = ()) -> JSONResponse:
    body = Failure(error=FailureBody(code=code, message=message, fix=fix, problems=list(problems)))
    return JSONResponse(body.model_dump(mode="json"), status)
