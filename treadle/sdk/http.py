"""The egress client: the only way out of the machine for blocks, integrations and provider libraries.

Every URL is parsed once, by the WHATWG parser, and what that parser calls the host is what is resolved, checked, put
into ``Host`` and TLS, and connected to. A name is resolved once per connection and the connection goes to the address
that was checked, so that a second, different DNS answer (rebinding) changes nothing. Every redirect is a new URL with
all the same checks. What may be reached is decided in ``treadle.sdk.http_policy``.
"""

import asyncio
import contextlib
import email.utils
import json
import os
import random
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

import h11

from treadle.sdk.credentials import Credentials
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater
from treadle.sdk.http_body import ReplyMalformed, ReplyTooLarge, decode, encode_body
from treadle.sdk.http_policy import EgressRefused, canonical_host, check_addresses, check_name, check_port
from treadle.sdk.http_proxy import Proxy
from treadle.sdk.http_request import CredentialGuard, Outgoing, make_outgoing, parse_target
from treadle.sdk.http_wire import (
    Connection,
    Headers,
    Origin,
    Pool,
    ProxyRefused,
    WireError,
    connect,
    connect_through,
)

MAX_HOPS = 10
"""How many redirects one request may follow."""

MAX_WAIT = 30.0
"""The longest wait in seconds between two tries; when the server asks for more, its answer is given back instead."""

_DNS_SECONDS = 5.0
_DNS_ENTRIES = 1024
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host name; raises ``OSError`` when there are none."""


class ReplyHeaders(Mapping[str, str]):
    """Headers of an answer; names in any case. A repeated header is one value, joined by commas."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for raw_name, raw_value in pairs:
            name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1")
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole and decompressed (a ``Reply``). ``url`` is where the last redirect led."""

    status: int
    headers: ReplyHeaders
    body: bytes
    url: str

    def text(self) -> str:
        """The body as text, in the charset that the server names, else UTF-8; what cannot be decoded is replaced."""
        found = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        try:
            return self.body.decode(found[1] if found else "utf-8", "replace")
        except (LookupError, ValueError):
            return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ReplyMalformed: it is not.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "no content type")
            raise ReplyMalformed(f"the answer (status {self.status}, {kind[:80]}) is not JSON") from None


class Exchange:
    """An answer whose body is still to be read. Must be closed; its connection is then kept or dropped."""

    def __init__(self, pool: Pool, connection: Connection, response: h11.Response) -> None:
        self.status = response.status_code
        self.pairs: Headers = list(response.headers)
        self.headers = ReplyHeaders(self.pairs)
        self._pool = pool
        self._connection = connection

    def chunks(self, max_bytes: int) -> AsyncGenerator[bytes, None]:
        """The body, decompressed; ``ReplyTooLarge`` when it is too long or a bomb, ``WireError`` when cut short."""
        length = self.headers.get("content-length", "")
        encoding = self.headers.get("content-encoding", "")
        if length.isdecimal() and len(length) < 20 and int(length) > max_bytes and not encoding:
            raise ReplyTooLarge(f"the answer has {length} bytes, more than {max_bytes}", fix="ask for less")
        return decode(self._connection.chunks(), encoding, max_bytes)

    def close(self) -> None:
        self._pool.release(self._connection)


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Addresses by the machine's own resolver, in its order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@lru_cache(maxsize=1)
def default_tls() -> ssl.SSLContext:
    """The one TLS context, made on first use: Mozilla's roots, or those that ``SSL_CERT_FILE``/``_DIR`` name."""
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context()
    import certifi  # noqa: PLC0415

    return ssl.create_default_context(cafile=certifi.where())


class _Names:
    """Resolved names for a few seconds; many requests for one name at once ask the resolver once."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._known: dict[tuple[str, int], tuple[float, asyncio.Task[Sequence[str]]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        now = asyncio.get_running_loop().time()
        known = self._known.get((host, port))
        if known is None or known[0] < now:
            if len(self._known) >= _DNS_ENTRIES:
                self._known = {key: entry for key, entry in self._known.items() if not entry[1].done()}
            task = asyncio.ensure_future(self._ask(host, port))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # all who asked may have gone
            known = self._known[host, port] = (now + _DNS_SECONDS, task)
        try:
            return await asyncio.shield(known[1])
        except OSError:
            self._known.pop((host, port), None)
            raise

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        return await self._resolver(host, port)

    def close(self) -> None:
        for _, task in self._known.values():
            task.cancel()
        self._known.clear()


class EgressClient:
    """One per process; satisfies ``treadle.sdk.context.Http``. Close it with ``aclose`` or ``async with``.

    ``allow`` are the operator's exact private (host, port) pairs. ``resolver`` and ``tls`` are replaced in tests.
    ``connections`` bounds how many are open at once; requests beyond it wait, within their own time.
    """

    def __init__(
        self,
        *,
        allow: frozenset[tuple[str, int]] = frozenset(),
        resolver: Resolver = system_resolver,
        tls: Callable[[], ssl.SSLContext] = default_tls,
        connections: int = 1000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._allow = frozenset((canonical_host(host), port) for host, port in allow)
        self._names = _Names(resolver)
        self._tls = tls
        self._pool = Pool(connections)
        self._sleep = sleep

    async def __aenter__(self) -> "EgressClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        self._names.close()
        self._pool.close()
        await asyncio.sleep(0)  # lets the event loop finish closing the sockets

    @cached_property
    def transport(self) -> Any:
        """An ``httpx.AsyncBaseTransport`` with the same rules, for the client libraries of providers."""
        from treadle.sdk.http_transport import EgressTransport  # noqa: PLC0415

        return EgressTransport(self)

    async def check_host(self, host: str, port: int, *, ports: frozenset[int] | None = None) -> list[str]:
        """The pinned addresses to which a connection to ``host`` may be made. ``ports``: the only ones to be used.

        Raises:
            EgressRefused: the policy forbids it.
            RetryLater: the name cannot be resolved at present.
        """
        name = canonical_host(host)
        allowed = (name, port) in self._allow
        check_name(name)
        if not allowed:
            check_port(name, port, ports)
        try:
            addresses = await self._names.resolve(name, port) if not _is_address(name) else [name]
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise RetryLater(f"the name {name} cannot be resolved", fix="check the host name")
        try:
            return check_addresses(name, addresses, allowed=allowed)
        except ValueError:
            raise EgressRefused(f"{name} does not resolve to an address") from None

    async def open_tcp(
        self, host: str, port: int, *, ports: frozenset[int], tls: bool = True, timeout: float = 30.0
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection (SMTP, IMAP) under the same policy; ``tls`` from the first byte. The caller closes it.

        Raises:
            EgressRefused, RetryLater: the policy forbids it; it cannot be made.
        """
        try:
            async with asyncio.timeout(timeout):
                address = (await self.check_host(host, port, ports=ports))[0]
                name = canonical_host(host)
                context = self._tls() if tls else None
                return await asyncio.open_connection(
                    address, port, ssl=context, server_hostname=name if context else None
                )
        except OSError:
            raise RetryLater(f"cannot connect to {host} port {port}", fix="check host, port and encryption") from None

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        content: bytes | None = None,
        credentials: Credentials | None = None,
        proxy: Proxy | None = None,
        timeout: float = 60.0,
        max_bytes: int = 20_000_000,
        retries: int = 0,
    ) -> Answer:
        """Send one request, follow redirects, and read the answer whole.

        ``params`` are added to the URL's own query. ``credentials`` are refused for any host but their own, and sent as
        their ``headers``, or as ``Authorization`` unless the caller has put the secret into the request. ``proxy`` is
        one that an integration declares: only https goes through it, to hosts that could be reached without it.
        ``timeout`` (seconds) bounds one try from name resolution to the last byte, ``max_bytes`` the decompressed body.
        ``retries`` further tries after 408, 429, 500, 502, 503, 504 or transport trouble, if the method is idempotent
        or there is an ``Idempotency-Key`` header.

        Raises:
            EgressRefused: the policy forbids it.
            ReplyTooLarge, ReplyMalformed: the answer has too many bytes, or a broken encoding.
            RetryLater: time-out or transport trouble.
            CredentialsNeeded: the proxy does not know the account.
        """
        body = encode_body(json_value=json, data=data, files=files, content=content)
        outgoing = make_outgoing(method, parse_target(url, params), headers or {}, body)
        guard = CredentialGuard(credentials, outgoing)
        if outgoing.method not in _IDEMPOTENT and "idempotency-key" not in outgoing.headers:
            retries = 0
        for tried in range(retries):
            wait = _backoff(tried)
            with contextlib.suppress(RetryLater):
                answer = await self._try(outgoing, guard, proxy, timeout, max_bytes)
                wanted = retry_after(answer.headers)
                if answer.status not in _RETRIED or (wanted or 0) > MAX_WAIT:
                    return answer
                wait = max(wait, wanted or 0) if wanted is not None else wait
            await self._sleep(wait)
        return await self._try(outgoing, guard, proxy, timeout, max_bytes)

    async def _try(
        self, outgoing: Outgoing, guard: CredentialGuard, proxy: Proxy | None, timeout: float, max_bytes: int
    ) -> Answer:
        host = outgoing.target.origin.host
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(outgoing, guard, proxy, max_bytes)
        except TimeoutError:
            raise RetryLater(f"{host} did not answer within {timeout:g} s", fix="try again later") from None
        except WireError as error:
            if proxy is not None and isinstance(error, ProxyRefused) and error.status in (401, 407):
                message = f"the proxy {proxy.host} does not know this account"
                raise CredentialsNeeded(message, fix="check user name and password") from None
            raise RetryLater(f"{host}: {error}", fix="check the address, or try again later") from None

    async def _follow(self, outgoing: Outgoing, guard: CredentialGuard, proxy: Proxy | None, max_bytes: int) -> Answer:
        for _ in range(MAX_HOPS + 1):
            exchange = await self.open_exchange(outgoing, guard.headers_for(outgoing), proxy)
            try:
                location = exchange.headers.get("location")
                if exchange.status not in _REDIRECTS or location is None:
                    pieces = [piece async for piece in exchange.chunks(max_bytes)]
                    return Answer(exchange.status, exchange.headers, b"".join(pieces), outgoing.target.url)
                outgoing = outgoing.redirected(exchange.status, location)
                with contextlib.suppress(BlockError, WireError):
                    async for _ in exchange.chunks(64 * 1024):  # a read body lets the connection be used again
                        pass
            finally:
                exchange.close()
        raise EgressRefused(f"{outgoing.target.origin.host} redirects more than {MAX_HOPS} times")

    async def open_exchange(
        self, outgoing: Outgoing, secrets: Mapping[str, str], proxy: Proxy | None = None
    ) -> Exchange:
        """Send ``outgoing`` and give its answer with the body still unread; redirects are not followed.

        Raises:
            EgressRefused, RetryLater, WireError: see ``request``; transport trouble is ``WireError`` here.
        """
        origin = outgoing.target.origin
        lines = outgoing.wire_headers(secrets)

        async def make() -> Connection:
            if proxy is not None:
                return await self._connect_through(proxy, origin)
            return await connect(origin, await self.check_host(origin.host, origin.port), self._tls)

        while True:
            connection = await self._pool.acquire(origin, make, fresh=proxy is not None)
            try:
                response = await connection.ask(outgoing.method, outgoing.target.path, lines, outgoing.body)
                return Exchange(self._pool, connection, response)
            except WireError as error:
                self._pool.discard(connection)
                # The server has closed a kept connection: RFC 9110, 9.2.2 lets idempotent requests go again.
                if not (connection.used and error.unanswered and outgoing.method in _IDEMPOTENT):
                    raise
            except h11.LocalProtocolError:
                self._pool.discard(connection)
                raise EgressRefused("the request is not valid HTTP", fix="check method, URL and headers") from None
            except BaseException:
                self._pool.discard(connection)
                raise

    async def _connect_through(self, proxy: Proxy, origin: Origin) -> Connection:
        """A way to ``origin`` for one exchange. The proxy resolves the name once more, so it gets no say in who may.

        That it could be reached directly is checked first; and only names that are in manifests go through proxies.
        """
        if origin.scheme != "https":
            raise EgressRefused("only https goes through a proxy", fix="use an https address")
        headers = proxy.headers()
        await self.check_host(origin.host, origin.port)
        addresses = await self.check_host(proxy.origin.host, proxy.port)
        return await connect_through(proxy.origin, addresses, headers, origin, self._tls)


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdecimal()


def _backoff(tried: int) -> float:
    """Seconds before the next try: doubling from 0.5, with full jitter in its upper half."""
    return min(MAX_WAIT, 0.5 * 2.0**tried) * random.uniform(0.5, 1.0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that the server asks to wait (``Retry-After``, RFC 9110, 10.2.3: seconds or a date), or None."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
