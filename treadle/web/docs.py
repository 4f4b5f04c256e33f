"""The interactive documentation, which loads nothing from elsewhere."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from treadle.base.errors import NotFound

_ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Treadle: HTTP interface</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light">
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon.png"></head>
<body><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});\n'

router = APIRouter(prefix="/docs", include_in_schema=False)


@router.get("")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/start.js")
async def start() -> HTMLResponse:
    """What starts it."""
    return HTMLResponse(_START, media_type="text/javascript")


@router.get("/{name}")
async def asset(name: str) -> FileResponse:
    """What it loads."""
    package = find_spec("fastapi_offline")
    if name not in _ASSETS or package is None or package.origin is None:
        raise NotFound(f"There is no file {name[:100]}.")
    return FileResponse(Path(package.origin).parent / "static" / name)
