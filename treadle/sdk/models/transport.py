"""Lets the providers' client libraries, which are built on httpx2, go out through the egress client's transport.

Imported on first use only. Nothing here opens a connection: requests and answers are handed over, unchanged.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpx.Response, request: httpx2.Request) -> None:
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # The bytes as they came: whichever library asked undoes their encoding.
        stream = self._response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        try:
            async for chunk in stream:
                yield chunk
        except httpx.TransportError as error:
            raise _same_error(error, self._request) from error

    async def aclose(self) -> None:
        await self._response.aclose()


class Bridge(httpx2.AsyncBaseTransport):
    """An httpx2 transport over an httpx one. Closing it leaves the other open: it belongs to the whole process."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        outgoing = httpx.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            content=await request.aread(),
            extensions={key: request.extensions[key] for key in ("timeout",) if key in request.extensions},
        )
        try:
            response = await self._transport.handle_async_request(outgoing)
        except httpx.TransportError as error:
            raise _same_error(error, request) from error
        return httpx2.Response(response.status_code, headers=response.headers.raw, stream=_Body(response, request))


def client(transport: Any, timeout: float) -> httpx2.AsyncClient:
    """A client for a provider's library: our transport, no redirects, nothing taken from the environment.

    ``timeout`` is the longest silence in seconds.
    """
    bridged = transport if isinstance(transport, httpx2.AsyncBaseTransport) else Bridge(transport)
    return httpx2.AsyncClient(transport=bridged, timeout=timeout, trust_env=False, follow_redirects=False)


def _same_error(error: httpx.TransportError, request: httpx2.Request) -> httpx2.TransportError:
    """The error of the same name in httpx2, so that a library recognises it."""
    kind = getattr(httpx2, type(error).__name__, httpx2.TransportError)
    return kind(str(error), request=request)
