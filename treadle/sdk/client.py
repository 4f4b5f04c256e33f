"""A small client for one provider: fills requests, sends the credentials to the manifest's hosts only, maps refusals.

Declarative operations are made of it, and plain ``@block`` functions use it directly.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from treadle.base.errors import ConfigurationError
from treadle.sdk.context import Context, Reply
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater
from treadle.sdk.http_proxy import Proxy
from treadle.sdk.integration import Integration, OAuth2
from treadle.sdk.request_templates import fill, fill_path
from treadle.sdk.shapes import at

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_MESSAGE = 500
_LONGEST_REQUEST = 200
_RETRIES = 2


@dataclass(frozen=True, slots=True)
class PageNumbers:
    """Pages are asked for by number, from 1; the last is the first that is not full."""

    page: str = "page"
    size: str = "per_page"
    page_size: int = 100
    items: str = ""
    most: int = 1000


@dataclass(frozen=True, slots=True)
class Cursor:
    """Each page says where the next begins: the value at ``next`` goes into query parameter ``param``."""

    param: str
    next: str
    items: str
    most: int = 1000
    pause: float = 0.0
    """Seconds until the provider knows the next page."""


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request. Templates are described in ``treadle.sdk.request_templates``."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    """Another service of the same provider; the manifest's base URL when empty."""
    text: bool = False
    """The reply is text, not JSON."""
    paging: PageNumbers | Cursor | None = None
    check: Callable[[Any], None] | None = None
    """Raises for a refusal that comes with a success status."""
    anonymous: bool = False
    """Sent without credentials."""
    timeout: float = 60.0


def get(path: str, **rest: Any) -> Call:
    """A request that changes nothing."""
    return Call("GET", path, **rest)


def post(path: str, **rest: Any) -> Call:
    """A request that makes something."""
    return Call("POST", path, **rest)


def put(path: str, **rest: Any) -> Call:
    """A request that makes or replaces something."""
    return Call("PUT", path, **rest)


def patch(path: str, **rest: Any) -> Call:
    """A request that changes something."""
    return Call("PATCH", path, **rest)


def delete(path: str, **rest: Any) -> Call:
    """A request that removes something."""
    return Call("DELETE", path, **rest)


class Client:
    """Requests of one run of a block to one provider."""

    def __init__(self, integration: Integration, ctx: Context, pin: str = "credentials") -> None:
        self._integration = integration
        self._ctx = ctx
        self._pin = pin

    async def call(self, call: Call, values: Mapping[str, Any] | None = None) -> Any:
        """Send it; the reply as JSON (None when it has no body), as text, or all elements of all its pages.

        Raises:
            CredentialsNeeded: there are no credentials, or they were refused.
            RetryLater: the provider is busy or down.
            BlockError: the provider refused the request; the message is the provider's.
        """
        if call.paging is not None:
            return [item async for item in self.pages(call, values)]
        return _content(call, await self.send(call, values))

    async def pages(self, call: Call, values: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        """The elements of all pages, at most as many as the paging says. Raises as ``call`` does."""
        paging, known = call.paging, values or {}
        if paging is None:
            raise TypeError(f"{call.path} has no paging")
        sent = 0
        extra: dict[str, Any] | None = _first_page(paging)
        while extra is not None and sent < paging.most:
            reply = _content(call, await self.send(replace(call, params={**call.params, **extra}), known))
            found = at(paging.items, reply)
            elements = found if isinstance(found, list) else []
            for element in elements[: paging.most - sent]:
                yield element
            sent += len(elements)
            extra = _next_page(paging, extra, reply, len(elements))
            if extra is not None and isinstance(paging, Cursor) and paging.pause and sent < paging.most:
                await (self._ctx.sleep or asyncio.sleep)(paging.pause)

    async def send(self, call: Call, values: Mapping[str, Any] | None = None) -> Reply:
        """Send one request; any answer but success raises as ``call`` does."""
        known = values or {}
        path = fill_path(call.path, known)
        url = (call.base_url or self._integration.base_url) + path
        params = dict(fill(call.params, known))
        credentials = None if call.anonymous else self._credentials(url)
        if credentials is not None:
            params.update(self._integration.sent(credentials).params)
        reply = await self._ctx.http.request(
            call.method,
            url,
            params=params or None,
            headers={**self._integration.headers, **self._idempotency(call), **call.headers},
            json=None if call.body is None else fill(call.body, known),
            credentials=self._as_headers(credentials),
            proxy=self._proxy(),
            timeout=call.timeout,
            retries=_RETRIES if call.method == "GET" else 0,
        )
        if not 200 <= reply.status < 300:
            raise refusal(self._integration, f"{call.method} {path}", reply, self._ctx.clock.now(), credentials)
        return reply

    def _credentials(self, url: str) -> Credentials | None:
        host = urlsplit(url).hostname
        if host not in self._integration.hosts:
            raise ConfigurationError(
                f"{self._integration.title} credentials may not be sent to {host}",
                fix=f"Add the host to the manifest of {self._integration.name} if it belongs to the provider.",
            )
        found = self._ctx.credentials.get(self._pin)
        if found is not None and found.provider == self._integration.name:
            return found
        if found is None and not self._integration.auth:
            return None
        raise CredentialsNeeded(
            f"There are no {self._integration.title} credentials on pin {self._pin}",
            fix=f"Connect a {self._integration.title} account, or set {_variables(self._integration)}.",
        )

    def _proxy(self) -> Proxy | None:
        """The proxy through which requests go: when the manifest declares one, and there are credentials for it."""
        declared, found = self._integration.proxy, self._ctx.credentials.get(self._pin)
        if declared is None or found is None or found.provider != self._integration.name:
            return None
        return declared.through(found)

    def _as_headers(self, credentials: Credentials | None) -> Credentials | None:
        """The same credentials as the headers to send: the egress client attaches those, and to these hosts only."""
        if credentials is None or credentials.kind is AuthKind.USER_PASSWORD:
            return None
        headers = {name: SecretStr(value) for name, value in self._integration.sent(credentials).headers.items()}
        return replace(credentials, kind=AuthKind.HOST_SCOPED, headers=headers, hosts=self._integration.hosts)

    def _idempotency(self, call: Call) -> dict[str, str]:
        header = self._integration.idempotency_header
        return {header: self._ctx.idempotency_key} if header and call.method != "GET" else {}


def refusal(
    integration: Integration, request: str, reply: Reply, now: datetime, credentials: Credentials | None = None
) -> BlockError:
    """The error for an answer that is no success: what a person can do about it decides its kind."""
    secret = credentials.secret.get_secret_value() if credentials else ""
    message = _message(integration, reply)
    said = f": {message.replace(secret, '***') if secret else message}" if message else ""
    text = f"{integration.title} answered {reply.status} to {request[:_LONGEST_REQUEST]}{said}"
    wait = _retry_after(reply, now)
    if reply.status in _PASSING or (reply.status == 403 and wait is not None):
        return RetryLater(text, fix=f"{integration.title} is busy or down; try again later.", retry_after=wait)
    if reply.status in (401, 403):
        fix = f"Check that the {integration.title} account is connected and may do this."
        return CredentialsNeeded(text, fix=fix)
    return BlockError(text, fix=f"Correct the block's inputs; see {integration.docs}.")


def _message(integration: Integration, reply: Reply) -> str:
    try:
        said = reply.json()
    except (ValueError, BlockError):
        return reply.text()[:_LONGEST_MESSAGE].strip()
    found = (at(path, said) for path in integration.error_paths)
    return next((each for each in found if isinstance(each, str) and each), "")[:_LONGEST_MESSAGE]


def _retry_after(reply: Reply, now: datetime) -> float | None:
    """Seconds to wait: ``Retry-After`` (RFC 9110, 10.2.3), else until ``X-RateLimit-Reset`` once none remain."""
    headers = {name.lower(): value for name, value in reply.headers.items()}
    asked = headers.get("retry-after", "")
    if asked.isdigit():
        return float(asked)
    if asked:
        return _until(asked, now)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(0.0, float(reset) - now.timestamp())
    return None


def _until(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp())


def _content(call: Call, reply: Reply) -> Any:
    if call.text:
        return reply.text()
    if not reply.body:
        return None
    try:
        content = reply.json()
    except ValueError as error:
        raise BlockError(f"The reply to {call.method} {call.path} is not JSON", fix="Try again later.") from error
    if call.check is not None:
        call.check(content)
    return content


def _first_page(paging: PageNumbers | Cursor) -> dict[str, Any]:
    if isinstance(paging, Cursor):
        return {}
    return {paging.size: min(paging.page_size, paging.most), paging.page: 1}


def _next_page(paging: PageNumbers | Cursor, extra: dict[str, Any], reply: Any, got: int) -> dict[str, Any] | None:
    if isinstance(paging, Cursor):
        cursor = at(paging.next, reply)
        return {paging.param: cursor} if cursor else None
    return {**extra, paging.page: extra[paging.page] + 1} if got >= extra[paging.size] else None


def _variables(integration: Integration) -> str:
    names = [auth.variables[0] for auth in integration.auth if not isinstance(auth, OAuth2)]
    return " or ".join(names) or "its environment variable"
