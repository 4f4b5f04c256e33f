"""What every request passes before a route sees it, and every answer on its way out."""

import ipaddress
import logging
from collections.abc import MutableMapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from treadle.base.errors import TreadleError
from treadle.features.accounts.access import Identity
from treadle.features.accounts.service import KEY_PREFIX
from treadle.web.access import IDENTITY, NO_TOKEN, TOKEN_FIX
from treadle.web.edge import VERDICTS, Edge, tightest, too_often
from treadle.web.logged_paths import logged_path
from treadle.web.observing import client_address
from treadle.web.request_bodies import Headers, Incoming, Refused, checked_body, rule_for

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_DEFAULTS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Of answers that do not say otherwise themselves."""
_ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000")
_REQUEST_HEADERS = (
    b"authorization, apikey, content-type, idempotency-key, if-match, if-none-match, last-event-id, traceparent, "
    b"x-api-key, x-client-info, x-request-id, x-supabase-api-version, x-workspace-id"
)
_ANSWER_HEADERS = (
    b"etag, location, retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-request-id"
)
_ORIGIN = "treadle.allowed_origin"

EXTERNAL = "/external-api/"
"""Below which programs use keys."""


class People(Protocol):
    """Knows whose a token or a key is; None when it is nobody's. Raises ``TreadleError`` when that cannot be told."""

    async def identify(self, token: str) -> Identity | None: ...
    async def identify_key(self, key: str) -> Identity | None: ...


_log = logging.getLogger(__name__)


class Guard:
    """ASGI middleware: the Host (DNS rebinding), the Origin, who sends it, how often, and what body it may have.

    ``people`` know whose token a request carries; the routes decide what that person may do.
    """

    def __init__(self, app: ASGIApp, people: People, edge: Edge) -> None:
        self.app = app
        self._people = people
        self._edge = edge
        self._names = frozenset({"localhost", *(name.lower() for name in edge.names if name)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers: Headers = dict(scope.get("headers", ()))
        if scope["type"] == "websocket":
            await self._serve_socket(scope, headers, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sending = _with_headers(scope, send)
        incoming = Incoming(receive)
        try:
            receive = await self._admit(scope, headers, incoming)
            if _is_preflight(scope, headers):
                await _allow_preflight(sending)
                return
            await self.app(scope, receive, sending)
        except Refused as refused:
            await incoming.discard(headers)
            await _answer(sending, refused)
        except Exception:  # noqa: BLE001 (the edge of the process; the application has answered with a plain 500)
            _log.exception("A request failed", extra={"method": scope["method"], "path": logged_path(scope["path"])})

    async def _serve_socket(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """A WebSocket says itself who it is; a foreign page may not open one at all."""
        try:
            self.check_host(headers)
            if not self.is_allowed_origin(scope, headers):
                raise _foreign()
        except Refused as refused:
            await _answer(send, refused, "websocket.http.response")
            return
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        self.check_host(headers)
        if b"%00" in scope.get("query_string", b"") or "\0" in scope["path"]:
            raise Refused(400, "nul_character", "The address holds a NUL character.", "Leave it out.")
        origin = self._foreign_origin(scope, headers)
        if origin:
            self._check_origin(scope, origin)
        identity = scope[IDENTITY] = await self._sender(scope["path"], headers)
        await self._count(scope, identity)
        if scope["method"] in _SAFE:
            return receive
        rule = rule_for(scope["path"])
        if identity is None and rule.signed_in:  # before anything is read; the routes ask again
            raise Refused(401, "unauthorized", NO_TOKEN, TOKEN_FIX)
        return await checked_body(rule, headers, receive)

    def check_host(self, headers: Headers) -> None:
        """Raises ``Refused`` for a name that another's name server may have made."""
        host = _host_of(headers.get(b"host", b"").decode("latin-1"))
        if host not in self._names and not _is_address(host):
            fix = "Use the address that the server printed, or set PUBLIC_URL to the one that people use."
            raise Refused(421, "wrong_host", "This server does not answer under that name.", fix)

    def is_allowed_origin(self, scope: Scope, headers: Headers) -> bool:
        """Whether a page may use the server: its own, the operator's, or what is no page."""
        origin = self._foreign_origin(scope, headers)
        return not origin or origin in self._edge.origins

    def _foreign_origin(self, scope: Scope, headers: Headers) -> str:
        """The page that sends a request; empty for the server's own pages and for programs."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        return "" if origin == f"{scheme}://{headers.get(b'host', b'').decode('latin-1')}" else origin

    def _check_origin(self, scope: Scope, origin: str) -> None:
        if origin in self._edge.origins:
            scope[_ORIGIN] = origin
        elif scope["method"] not in _SAFE:
            raise _foreign()

    async def _sender(self, path: str, headers: Headers) -> Identity | None:
        """Keys open the external API and nothing else."""
        token = bearer_of(headers)
        if path.startswith(EXTERNAL):
            key = headers.get(b"x-api-key", b"").decode("latin-1") or token
            if key.startswith(KEY_PREFIX) or not token:
                return await self._people.identify_key(key)
        try:
            return await self._people.identify(token) if token else None
        except TreadleError as error:
            raise Refused(error.status, error.code, error.message, error.fix) from None

    async def _count(self, scope: Scope, identity: Identity | None) -> None:
        verdict = await self._edge.admit(scope, identity, client_address(scope))
        if verdict is None:
            return
        scope[VERDICTS] = [verdict]
        if not verdict.allowed:
            error = too_often(verdict)
            raise Refused(429, error.code, error.message, error.fix)


def bearer_of(headers: Headers) -> str:
    """The token of a request; empty when it has none."""
    scheme, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _foreign() -> Refused:
    fix = "Send it from the server's own pages, or set PUBLIC_URL or TREADLE_ALLOWED_ORIGINS."
    return Refused(403, "wrong_origin", "Another web site may not send this.", fix)


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


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in headers


async def _allow_preflight(send: Send) -> None:
    """For an origin that is not allowed the same, without the header that would allow it."""
    headers = [
        (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
        (b"access-control-allow-headers", _REQUEST_HEADERS),
        (b"access-control-max-age", b"600"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [each for each in (*_HEADERS, *_DEFAULTS) if each[0] not in present]
            if scope["scheme"] == "https":
                added.append(_ONLY_HTTPS)
            message["headers"] = [*message["headers"], *added, *_cors(scope), *_rate(scope)]
        await send(message)

    return sending


def _cors(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Tokens travel in a header that scripts set themselves, so no page needs the browser's own credentials."""
    origin = scope.get(_ORIGIN)
    if origin is None:
        return [(b"vary", b"Origin")]
    exposed = (b"access-control-expose-headers", _ANSWER_HEADERS)
    return [(b"vary", b"Origin"), (b"access-control-allow-origin", origin.encode("latin-1")), exposed]


def _rate(scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
    verdict = tightest(scope.get(VERDICTS, ()))
    return verdict.headers if verdict else ()


async def _answer(send: Send, refused: Refused, kind: str = "http.response") -> None:
    body = refused.failure.model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # What was not read of the request must not be taken for the next one.
    headers.append((b"connection", b"close"))
    await send({"type": f"{kind}.start", "status": refused.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
