"""The servers of the companies that exported agents call, played by one local server with TLS for all their names.

Requests go out through the real egress client; only the address and port of the connection are replaced. Each request,
and each described reply, is held against the API description that the company publishes.
"""

import asyncio
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trustme

from tests.sdk.http_server import Received, Server, answer, serving
from tests.sdk.models.servers import Say, Seen, render, speccheck
from treadle.sdk.http import EgressClient, Exchange
from treadle.sdk.http_proxy import Proxy
from treadle.sdk.http_request import Outgoing

PUBLISHED = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "api.e2b.app": "e2b",
    "api.replicate.com": "replicate",
    "api.medium.com": "medium",
    "maps.googleapis.com": "google-maps",
}
"""Hosts whose API is described, with the name of the description."""
UNDESCRIBED = ("r.jina.ai", "s.jina.ai", "www.youtube.com", "49999-sandbox1.e2b.app")

Content = Say | str | Mapping[str, Any]
"""What a model says; text; or JSON."""
Reply = Content | tuple[int, Content]
"""With its status, unless that is 200."""
Answers = Callable[[Seen], Reply]
"""The reply to a request. Raises ``KeyError`` for what nobody should ask."""


@dataclass
class Companies:
    """What the companies answer, what they were asked, and what was wrong with it."""

    answers: Answers
    seen: list[Seen] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def expect(self, answers: Answers) -> None:
        """Begin anew with these answers."""
        self.answers, self.seen, self.problems = answers, [], []

    def asked(self, host: str) -> list[Seen]:
        """The requests to a host."""
        return [each for each in self.seen if each.host == host]

    async def handle(self, received: Received, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        host = received.headers["host"].partition(":")[0]
        body = json.loads(received.body) if received.body else None
        request = Seen(received.method, f"https://{host}{received.target}", received.headers, body)
        self.seen.append(request)
        try:
            found = self.answers(request)
        except KeyError:
            self.problems.append(f"nobody should ask this: {request.method} {request.url}")
            found = (404, {"message": "not found"})
        status, reply = found if isinstance(found, tuple) else (200, found)
        self._check(request, status, reply)
        await _give(status, reply, request)(received, writer)

    def _check(self, request: Seen, status: int, reply: Content) -> None:
        company = PUBLISHED.get(request.host)
        if company is None:
            return
        url = request.url.replace("//maps.googleapis.com", "//www.googleapis.com")  # as the description calls it
        answered = {} if isinstance(reply, Say | str) else {"status": status, "response": reply}
        found = (
            speccheck().load(company).check(request.method, url, headers=request.headers, json=request.body, **answered)
        )
        self.problems += [f"{company}: {each}" for each in found]


def _give(status: int, reply: Content, request: Seen) -> Callable[[Received, asyncio.StreamWriter], Any]:
    if isinstance(reply, Say):
        return answer(status, b"".join(render(request, reply)), {"Content-Type": "text/event-stream"})
    if isinstance(reply, str):
        return answer(status, reply.encode(), {"Content-Type": "text/plain; charset=utf-8"})
    return answer(status, json.dumps(reply).encode(), {"Content-Type": "application/json"})


class Detour(EgressClient):
    """The egress client, whose connections all end at one port of this machine. Its rules are the usual ones."""

    def __init__(self, port: int, trusted: ssl.SSLContext) -> None:
        hosts = (*PUBLISHED, *UNDESCRIBED)
        super().__init__(
            allow=frozenset((host, port) for host in hosts), resolver=_to_this_machine, tls=lambda: trusted
        )
        self._port = port

    async def open_exchange(
        self, outgoing: Outgoing, secrets: Mapping[str, str], proxy: Proxy | None = None
    ) -> Exchange:
        """As the egress client does, but for the port."""
        target = outgoing.target
        assert target.origin.scheme == "https" and target.origin.port == 443
        nearby = dataclasses.replace(target, origin=dataclasses.replace(target.origin, port=self._port))
        moved = Outgoing(outgoing.method, nearby, outgoing.headers, outgoing.body)
        return await super().open_exchange(moved, secrets, proxy)


async def _to_this_machine(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def companies() -> AsyncIterator[tuple[Companies, Callable[..., EgressClient]]]:
    """The companies, and what makes an egress client that reaches nothing else."""

    def nothing(request: Seen) -> Reply:
        raise KeyError(request.url)

    state = Companies(nothing)
    authority = trustme.CA()
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert(*PUBLISHED, *UNDESCRIBED).configure_cert(served)
    authority.configure_trust(trusted)
    async with serving(state.handle, served) as server:
        yield state, _maker(server, trusted)


def _maker(server: Server, trusted: ssl.SSLContext) -> Callable[..., EgressClient]:
    def make(*, allow: frozenset[tuple[str, int]]) -> EgressClient:
        assert not allow, "a fresh install allows no private places"
        return Detour(server.port, trusted)

    return make
