"""What every request passes before a route sees it, and every answer on its way out."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from treadle.features.accounts.access import Identity
from treadle.web.access import IDENTITY, NO_TOKEN, TOKEN_FIX
from treadle.web.request_bodies import Headers, Refused, checked_body, rule_for

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_STRICT_POLICY = b"default-src 'none'; frame-ancestors 'none'"

Identify = Callable[[str], Awaitable[Identity | None]]
"""Whose token it is; None when it is nobody's."""
_log = logging.getLogger(__name__)


class Guard:
    """ASGI middleware: the Host (DNS rebinding), the Origin, who sends it, the size, type and depth of bodies.

    ``identify`` finds out whose token a request carries; the routes decide what that person may do.
    ``names`` are the host names under which the server may be reached, beside ``localhost`` and plain IP addresses,
    which no foreign name server can take over. ``origins`` are the web pages that may send what changes things,
    beside the server's own.
    """

    def __init__(self, app: ASGIApp, identify: Identify, names: Iterable[str], origins: Iterable[str]) -> None:
        self.app = app
        self._identify = identify
        self._names = frozenset({"localhost", *(name.lower() for name in names if name)})
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: Headers = dict(scope["headers"])
        sending = _with_headers(send)
        try:
            self._check_host(headers)
            identity = scope[IDENTITY] = await self._sender(headers)
            if scope["method"] not in _SAFE:
                self._check_origin(scope, headers)
                rule = rule_for(scope["path"])
                if identity is None and rule.signed_in:  # before anything is read; the routes ask again
                    raise Refused(401, "unauthorized", NO_TOKEN, TOKEN_FIX)
                receive = await checked_body(rule, headers, receive)
        except Refused as refused:
            await _answer(sending, refused)
            return
        try:
            await self.app(scope, receive, sending)
        except Refused as refused:
            await _answer(sending, refused)
        except Exception:  # noqa: BLE001 (the edge of the process; the application has answered with a plain 500)
            _log.exception("A request failed", extra={"method": scope["method"], "path": scope["path"]})

    def _check_host(self, headers: Headers) -> None:
        host = _host_of(headers.get(b"host", b"").decode("latin-1"))
        if host not in self._names and not _is_address(host):
            fix = "Use the address that the server printed, or set PUBLIC_URL to the one that people use."
            raise Refused(421, "wrong_host", "This server does not answer under that name.", fix)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get(b"origin")
        if origin is None:
            return
        own = f"{scope['scheme']}://{headers.get(b'host', b'').decode('latin-1')}"
        if origin.decode("latin-1") not in {own, *self._origins}:
            fix = "Send it from the server's own pages, or set PUBLIC_URL to the address that people use."
            raise Refused(403, "wrong_origin", "Another web site may not send this.", fix)

    async def _sender(self, headers: Headers) -> Identity | None:
        scheme, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        return await self._identify(given.strip()) if scheme.lower() == "bearer" else None


def _host_of(header: str) -> str:
    """The name or address without its port; empty when the header is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [*_HEADERS]
            if b"cache-control" not in present:
                added.append((b"cache-control", b"no-store"))
            if b"content-security-policy" not in present:
                added.append((b"content-security-policy", _STRICT_POLICY))
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sending


async def _answer(send: Send, refused: Refused) -> None:
    body = refused.failure.model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # What was not read of the request must not be taken for the next one.
    headers.extend(((b"connection", b"close"), *refused.headers))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
