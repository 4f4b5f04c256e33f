"""The egress client as an httpx transport, for provider libraries built on httpx. Imported on first use only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx

from treadle.sdk.errors import RetryLater
from treadle.sdk.http import EgressClient, Exchange
from treadle.sdk.http_body import Body
from treadle.sdk.http_request import Outgoing, make_outgoing, parse_target, without_secrets
from treadle.sdk.http_wire import WireError

MAX_BYTES = 100_000_000
"""The most decompressed bytes of one answer."""

MAX_SECONDS = 900.0
"""The longest that one answer may take from the first to the last byte, however slowly it trickles."""

_FIRST_ORIGIN = "treadle_origin"


class EgressTransport(httpx.AsyncBaseTransport):
    """Applies the client's policy to each request of an ``httpx.AsyncClient``, redirects included."""

    def __init__(self, client: EgressClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request.

        Raises:
            httpx.TransportError: transport trouble or time-out, as httpx's own transport would say it.
            EgressRefused: the policy forbids it.
        """
        outgoing = _keep_secrets_home(request, await _outgoing(request))
        limits: dict[str, Any] = request.extensions.get("timeout", {})
        pause = limits.get("read")
        try:
            async with asyncio.timeout(pause):
                exchange = await self._client.open_exchange(outgoing, {})
        except TimeoutError:
            raise httpx.ReadTimeout("the server did not answer in time", request=request) from None
        except (WireError, RetryLater) as error:
            raise httpx.ConnectError(f"{outgoing.target.origin.host}: {error}", request=request) from None
        # The body is given decompressed, so that httpx's own decoders, which have no caps, never run.
        hidden = {b"content-encoding", b"content-length", b"transfer-encoding"}
        headers = [(name, value) for name, value in exchange.pairs if name.lower() not in hidden]
        return httpx.Response(exchange.status, headers=headers, stream=_Stream(exchange, pause, request))


async def _outgoing(request: httpx.Request) -> Outgoing:
    content = await request.aread()
    return make_outgoing(request.method, parse_target(str(request.url)), dict(request.headers), Body(content))


def _keep_secrets_home(request: httpx.Request, outgoing: Outgoing) -> Outgoing:
    """httpx copies a request's extensions into the one that follows a redirect: so the first origin is remembered."""
    first = request.extensions.setdefault(_FIRST_ORIGIN, outgoing.target.origin)
    if first == outgoing.target.origin:
        return outgoing
    return Outgoing(outgoing.method, outgoing.target, without_secrets(outgoing.headers), outgoing.body)


class _Stream(httpx.AsyncByteStream):
    def __init__(self, exchange: Exchange, pause: float | None, request: httpx.Request) -> None:
        self._exchange = exchange
        self._pause = pause
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        deadline = asyncio.get_running_loop().time() + MAX_SECONDS
        async with contextlib.aclosing(self._exchange.chunks(MAX_BYTES)) as chunks:
            while True:
                try:
                    async with asyncio.timeout_at(_earlier(deadline, self._pause)):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    raise httpx.ReadTimeout("the answer came too slowly", request=self._request) from None
                except WireError as error:
                    raise httpx.ReadError(str(error), request=self._request) from None
                if chunk is None:
                    return
                yield chunk

    async def aclose(self) -> None:
        self._exchange.close()


def _earlier(deadline: float, pause: float | None) -> float:
    return deadline if pause is None else min(deadline, asyncio.get_running_loop().time() + pause)
