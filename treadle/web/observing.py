"""What is kept of every request: its id, a line in the log, figures, and a span.

The outermost layer: whatever happens inside, the request is answered and counted.
"""

import logging
import re
import time
from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Receive, Scope, Send

from treadle.base.circumstances import Sender, sender
from treadle.base.logging import request_id
from treadle.features.accounts.access import Identity
from treadle.web.access import IDENTITY
from treadle.web.logged_paths import logged_path
from treadle.web.metrics import HttpMetrics
from treadle.web.proxies import TrustedProxies
from treadle.web.tracing import RequestSpan, Tracer

NO_ROUTE = "(none)"
"""Stands for the route of a request that no route has answered."""
_GIVEN_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_QUIET = frozenset(("/health", "/health/ready", "/metrics"))
_log = logging.getLogger("treadle.access")


class Observed:
    """ASGI middleware around everything else."""

    def __init__(
        self, app: ASGIApp, metrics: HttpMetrics, proxies: TrustedProxies, tracer: Tracer | None = None
    ) -> None:
        self.app = app
        self.metrics = metrics
        self._proxies = proxies
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        self._proxies.correct(scope, headers)
        id = _id_of(headers)
        scope["treadle.request_id"] = id
        before = request_id.set(id)
        before_sender = sender.set(
            Sender(client_address(scope), headers.get(b"user-agent", b"").decode("latin-1")[:300])
        )
        try:
            if scope["type"] == "websocket":
                await self.app(scope, receive, send)
            else:
                await self._observe(scope, headers, receive, send, id)
        finally:
            request_id.reset(before)
            sender.reset(before_sender)

    async def _observe(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send, id: str) -> None:
        begun = time.perf_counter()
        status = 500
        sent = 0

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", id.encode())]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        span = self._begin(scope, headers)
        self.metrics.begun()
        try:
            await self.app(scope, receive, sending)
        finally:
            route = str(getattr(scope.get("route"), "path", NO_ROUTE))
            seconds = time.perf_counter() - begun
            self.metrics.ended(scope["method"], route, status, seconds)
            if span is not None:
                span.end(route=route, status=status)
            _write_line(scope, status, seconds, sent)

    def _begin(self, scope: Scope, headers: dict[bytes, bytes]) -> RequestSpan | None:
        if self._tracer is None:
            return None
        return self._tracer.begin(scope["method"], logged_path(scope["path"]), client_address(scope), headers)


def client_address(scope: Scope) -> str:
    """The address of whoever sends the request, proxies seen through; empty when it is not known."""
    return str(scope["client"][0]) if scope.get("client") else ""


def _id_of(headers: dict[bytes, bytes]) -> str:
    """The caller's own id when it is harmless, so that a request can be followed through several systems."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _GIVEN_ID.fullmatch(given) else uuid4().hex


def _write_line(scope: Scope, status: int, seconds: float, sent: int) -> None:
    """Without the query: links may carry tokens there."""
    level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
    if not _log.isEnabledFor(level):
        return
    path = logged_path(scope["path"])
    identity: Identity | None = scope.get(IDENTITY)
    fields: dict[str, Any] = {
        "method": scope["method"],
        "path": path,
        "status": status,
        "ms": round(seconds * 1000, 2),
        "bytes": sent,
        "address": client_address(scope),
    }
    if identity is not None:
        fields["user"] = str(identity.user)
    _log.log(level, "%s %s %s", scope["method"], path, status, extra=fields)
