"""What every request passes before a route sees it, and every answer on its way out."""

import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from treadle.features.accounts.access import Identity
from treadle.web.access import IDENTITY, NO_TOKEN, TOKEN_FIX
from treadle.web.problems import failure

LARGEST_BODY = 25_000_000
DEEPEST_JSON = 200
"""Levels of lists and objects in each other."""

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_STRICT_POLICY = b"default-src 'none'; frame-ancestors 'none'"

Headers = dict[bytes, bytes]
Identify = Callable[[str], Awaitable[Identity | None]]
"""Whose token it is; None when it is nobody's."""
_log = logging.getLogger(__name__)


class Refused(Exception):
    """The request is answered without asking a route."""

    def __init__(self, status: int, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.status = status
        self.failure = failure(status, code, message, fix)


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
                if identity is None:  # before anything is read; the routes ask again
                    raise Refused(401, "unauthorized", NO_TOKEN, TOKEN_FIX)
                receive = await _checked_body(headers, receive)
        except Refused as refused:
            await _answer(sending, refused)
            return
        try:
            await self.app(scope, receive, sending)
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


async def _checked_body(headers: Headers, receive: Receive) -> Receive:
    """Read the body; gives a ``receive`` that hands it out once more."""
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > LARGEST_BODY:
        raise _too_large()
    body = await _read(receive)
    if body:
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            fix = "Send JSON, with the header Content-Type: application/json."
            raise Refused(415, "unsupported_media_type", "The body is not declared to be JSON.", fix)
        if is_too_deep(body):
            message = f"The JSON has more than {DEEPEST_JSON} levels."
            raise Refused(400, "too_deep", message, "Send flatter data.")
    handed_out = False

    async def again() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "incomplete", "The request ended before its body.", "Send it again.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            raise _too_large()
        if not message.get("more_body"):
            return b"".join(parts)


def _too_large() -> Refused:
    limit = LARGEST_BODY // 1_000_000
    return Refused(413, "too_large", f"The body is larger than {limit} MB.", "Send less, or give it as a file.")


def is_too_deep(body: bytes) -> bool:
    """Whether JSON text nests deeper than ``DEEPEST_JSON``; of text that is no JSON nothing is said."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST_JSON:
        return False
    depth = 0
    for bracket in _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST_JSON:
            return True
    return False


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
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
