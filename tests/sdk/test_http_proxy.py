"""Requests through a declared proxy: a real tunnel, the same rules, and secrets for the proxy's host alone (S1, S5)."""

import asyncio
import base64
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from tests.sdk.http_server import Handler, Server, answer, in_turn, redirect, serving, until
from treadle.integrations.youtube.manifest import INTEGRATION
from treadle.integrations.youtube.transcribe import transcribe
from treadle.sdk.client import Client, get
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater
from treadle.sdk.http import EgressClient
from treadle.sdk.http_body import ReplyTooLarge
from treadle.sdk.http_policy import EgressRefused
from treadle.sdk.http_proxy import HttpProxy, Proxy
from treadle.sdk.integration import Integration, UserPassword, setups
from treadle.sdk.testing import make_context

SITE, OTHER, PROXY = "site.test", "other.test", "proxy.test"
SECRET = "canary-proxy-77"
PUBLIC = "93.184.216.34"


@dataclass
class Tunnels:
    """A CONNECT proxy on 127.0.0.1. Whatever name it is asked for, it leads to one server."""

    port: int = 0
    leads_to: int = 0
    refuse: bytes = b""
    banner: bytes = b""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, target and headers of each request."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._tunnel(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._open(reader, writers)
        finally:
            for each in writers:
                each.transport.abort()

    async def _open(self, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
        [writer] = writers
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
        self.asked.append((method, target, headers))
        if self.refuse:
            writer.write(b"HTTP/1.1 " + self.refuse + b"\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.leads_to)
        writers.append(inner_writer)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n" + self.banner)
        both = [asyncio.create_task(_copy(*pair)) for pair in ((reader, inner_writer), (inner_reader, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@dataclass
class World:
    """A client, a server with TLS, and a proxy between them."""

    client: EgressClient
    server: Server
    tunnels: Tunnels
    port: int
    """Of the proxy."""

    def proxy(self, host: str = PROXY, hosts: tuple[str, ...] = (PROXY,)) -> Proxy:
        held = Credentials("1", "acme", AuthKind.USER_PASSWORD, SecretStr(SECRET), "me", hosts=hosts)
        return HttpProxy(host, self.port).through(held)

    async def get(self, url: str = f"https://{SITE}/page", **options: Any) -> Any:
        return await self.client.request("GET", url, **{"proxy": self.proxy(), **options})


async def resolver(host: str, port: int) -> Sequence[str]:
    """The proxy is on this machine; sites are anywhere but here."""
    known = {PROXY: "127.0.0.1", SITE: PUBLIC, OTHER: PUBLIC, "private.test": "10.0.0.1", "www.youtube.com": PUBLIC}
    return [known[host]]


@asynccontextmanager
async def world(handler: Handler, *names: str, allow_proxy: bool = True) -> AsyncIterator[World]:
    authority = trustme.CA()
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert(*(names or (SITE, OTHER, "www.youtube.com"))).configure_cert(served)
    authority.configure_trust(trusted)
    async with serving(handler, served) as server:
        tunnels = Tunnels(leads_to=server.port)
        listener = await asyncio.start_server(tunnels.accept, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        allow = frozenset({(PROXY, port), ("127.0.0.1", port)}) if allow_proxy else frozenset()
        async with EgressClient(allow=allow, resolver=resolver, tls=lambda: trusted) as client:
            yield World(client, server, tunnels, port)
        listener.close()
        for task in tunnels.tasks:
            task.cancel()
        await asyncio.gather(*tunnels.tasks, return_exceptions=True)


async def test_a_request_goes_through_and_only_the_proxy_learns_the_account() -> None:
    async with world(answer(body=b"seen")) as here:
        reply = await here.get(headers={"X-Mine": "1"})
        assert (reply.status, reply.body, reply.url) == (200, b"seen", f"https://{SITE}/page")
        [(method, target, headers)] = here.tunnels.asked
        assert (method, target, headers["host"]) == ("CONNECT", f"{SITE}:443", f"{SITE}:443")
        expected = base64.b64encode(f"me:{SECRET}".encode()).decode()
        assert headers == {"host": f"{SITE}:443", "proxy-authorization": f"Basic {expected}"}
        [received] = here.server.received
        assert received.target == "/page" and received.headers["x-mine"] == "1"
        assert not {"proxy-authorization", "authorization"} & set(received.headers)


def test_the_loop_that_servers_use_can_do_it_as_well() -> None:
    if sys.platform == "win32":
        pytest.skip("uvloop is not for Windows")
    import uvloop  # noqa: PLC0415

    with ThreadPoolExecutor(1) as thread:
        thread.submit(uvloop.run, test_a_request_goes_through_and_only_the_proxy_learns_the_account()).result()


async def test_each_request_has_a_tunnel_of_its_own() -> None:
    async with world(answer(body=b"x")) as here:
        for _ in range(3):
            await here.get()
        assert len(here.tunnels.asked) == 3
        await until(lambda: here.server.open == 0)


async def test_redirects_go_through_it_as_well_and_take_no_secrets_along() -> None:
    async with world(in_turn(redirect(f"https://{OTHER}/next"), answer(body=b"end"))) as here:
        held = Credentials("2", "acme", AuthKind.API_KEY, SecretStr("key-9"), hosts=(SITE,))
        reply = await here.get(credentials=held)
        assert reply.url == f"https://{OTHER}/next"
        assert [target for _, target, _ in here.tunnels.asked] == [f"{SITE}:443", f"{OTHER}:443"]
        first, second = here.server.received
        assert first.headers["authorization"] == "Bearer key-9" and "authorization" not in second.headers


@pytest.mark.parametrize(
    "url",
    [
        "https://private.test/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/",
        "https://metadata.google.internal/",
        f"https://{SITE}:22/",
        f"http://{SITE}/",
    ],
)
async def test_what_could_not_be_reached_directly_is_not_reached_through_it(url: str) -> None:
    async with world(answer(body=b"x")) as here:
        with pytest.raises(EgressRefused):
            await here.get(url)
        assert here.tunnels.asked == []


@pytest.mark.parametrize("location", ["https://private.test/", "http://site.test/", "https://127.0.0.1/"])
async def test_nor_by_a_redirect(location: str) -> None:
    async with world(redirect(location)) as here:
        with pytest.raises(EgressRefused):
            await here.get()
        assert len(here.tunnels.asked) == 1


async def test_the_proxys_own_address_is_checked() -> None:
    async with world(answer(body=b"x"), allow_proxy=False) as here:
        with pytest.raises(EgressRefused, match="public Internet"):
            await here.get()
        assert here.tunnels.asked == []


async def test_credentials_for_another_host_are_not_told_to_the_proxy() -> None:
    async with world(answer(body=b"x")) as here:
        with pytest.raises(EgressRefused, match=f"may not be sent to {PROXY}") as caught:
            await here.get(proxy=here.proxy(hosts=(SITE,)))
        assert here.tunnels.asked == [] and SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"401 Unauthorized"])
async def test_an_account_that_it_does_not_know_is_told_and_not_tried_again(status: bytes) -> None:
    async with world(answer(body=b"x")) as here:
        here.tunnels.refuse = status
        with pytest.raises(CredentialsNeeded, match="does not know this account") as caught:
            await here.get()
        assert SECRET not in str(caught.value) and here.server.received == []


async def test_a_proxy_that_is_busy_is_worth_another_try() -> None:
    async with world(answer(body=b"x")) as here:
        here.tunnels.refuse = b"503 Service Unavailable"
        with pytest.raises(RetryLater, match="the proxy answered 503"):
            await here.get()


async def test_it_cannot_pass_itself_off_as_the_site() -> None:
    async with world(answer(body=b"x"), "elsewhere.test") as here:
        with pytest.raises(RetryLater, match="certificate is not valid"):
            await here.get()
        assert here.server.received == []


async def test_what_it_says_before_the_site_does_is_not_taken_for_an_answer() -> None:
    async with world(answer(body=b"x")) as here:
        here.tunnels.banner = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake"
        with pytest.raises(RetryLater):
            await here.get()
        assert here.server.received == []


async def test_answers_are_bounded_as_they_are_without() -> None:
    async with world(answer(body=b"x" * 5000)) as here:
        with pytest.raises(ReplyTooLarge):
            await here.get(max_bytes=1000)
        await until(lambda: here.server.open == 0)

    async def silent(*_: Any) -> None:
        await asyncio.Event().wait()

    async with world(silent) as here:
        with pytest.raises(RetryLater, match=r"did not answer within 0\.2 s"):
            await here.get(timeout=0.2)


# --- integrations ---


def proxied(port: int) -> Integration:
    auth = UserPassword(variables=("ACME_USER", "ACME_PASSWORD"), obtain="https://acme.example")
    where = HttpProxy(PROXY, port, username_suffix="-rotate")
    return Integration("acme", "Acme", "A proxy.", "https://acme.example", f"https://{SITE}", (auth,), proxy=where)


@pytest.mark.parametrize("username", ["me", "me-rotate"])
async def test_an_integration_goes_through_its_proxy_when_there_is_an_account(username: str) -> None:
    async with world(answer(body=b'"text"')) as here:
        acme = proxied(here.port)
        held = here.proxy().credentials
        ctx = make_context(http=here.client, credentials={"credentials": _named(held, username)})
        assert await Client(acme, ctx).call(get("/page", anonymous=True)) == "text"
        [(_, _, headers)] = here.tunnels.asked
        assert base64.b64decode(headers["proxy-authorization"].split()[1]) == f"me-rotate:{SECRET}".encode()


def _named(held: Credentials, username: str) -> Credentials:
    return replace(held, username=username)


def test_the_secret_of_a_proxy_is_for_its_host_alone() -> None:
    [setup] = setups([proxied(80)])
    assert setup.hosts == (PROXY,)


PAGE = b'<html>"INNERTUBE_API_KEY": "k-1"</html>'
PLAYER = (
    b'{"captions": {"playerCaptionsTracklistRenderer": {"captionTracks": '
    b'[{"baseUrl": "https://www.youtube.com/api/timedtext?v=1", "languageCode": "en"}]}}}'
)
CAPTIONS = b"<transcript><text>Hello</text><text>there</text></transcript>"


async def test_captions_are_read_through_the_account_and_again_when_an_address_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocked = answer(body=b"<html>Prove that you are no robot.</html>")
    pages = in_turn(blocked, blocked, answer(body=PAGE), answer(body=PLAYER), answer(body=CAPTIONS))
    async with world(pages) as here:
        monkeypatch.setattr("treadle.integrations.youtube.captions.INTEGRATION", _youtube(here.port))
        held = Credentials("1", "webshare_proxy", AuthKind.USER_PASSWORD, SecretStr(SECRET), "me", hosts=(PROXY,))
        ctx = make_context(http=here.client, credentials={"credentials": held})
        inputs = transcribe.reader.read({"youtube_url": "dQw4w9WgXcQ", "credentials": held.reference()})
        sent = [each async for each in transcribe.run(inputs, ctx)]
        assert sent == [("video_id", "dQw4w9WgXcQ"), ("transcript", "Hello\nthere")]
        assert len(here.tunnels.asked) == 5
        assert SECRET not in str(here.server.received)


async def test_captions_that_stay_blocked_are_told_after_a_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(answer(body=b"<html>Prove that you are no robot.</html>")) as here:
        monkeypatch.setattr("treadle.integrations.youtube.captions.INTEGRATION", _youtube(here.port))
        held = Credentials("1", "webshare_proxy", AuthKind.USER_PASSWORD, SecretStr(SECRET), "me", hosts=(PROXY,))
        ctx = make_context(http=here.client, credentials={"credentials": held})
        inputs = transcribe.reader.read({"youtube_url": "dQw4w9WgXcQ"})
        with pytest.raises(BlockError, match="no robot is reading"):
            [each async for each in transcribe.run(inputs, ctx)]
        assert len(here.tunnels.asked) == 5


def _youtube(port: int) -> Integration:
    return replace(INTEGRATION, proxy=HttpProxy(PROXY, port))
