"""Requests that try to get out of bounds: each through the real client; forbidden listeners hear nothing."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.sdk.http_server import Handler, Received, Server, answer, in_turn, redirect, serving
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import RetryLater
from treadle.sdk.http import MAX_HOPS, EgressClient
from treadle.sdk.http_body import ReplyTooLarge
from treadle.sdk.http_policy import MAIL_PORTS, EgressRefused


@dataclass
class Names:
    """A resolver that gives prepared answers, one after another, and counts the questions."""

    answers: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        left = self.answers.get(host, [["127.0.0.1"]])
        return left.pop(0) if len(left) > 1 else left[0]


@asynccontextmanager
async def listener(handler: Handler | None = None) -> AsyncIterator[Server]:
    """A service on loopback that the client may not reach."""
    async with serving(handler or answer(body=b"internal")) as server:
        yield server


@asynccontextmanager
async def outside(handler: Handler, *names: str, resolver: Names | None = None) -> AsyncIterator[tuple[Any, Server]]:
    """A server that plays a public one under each of ``names``, and a client."""
    async with serving(handler) as server:
        allow = frozenset((name, server.port) for name in names or ("site.test",))
        async with EgressClient(allow=allow, resolver=resolver or Names()) as client:
            yield client, server


async def refused(client: EgressClient, url: str, method: str = "GET", **more: Any) -> EgressRefused:
    with pytest.raises(EgressRefused) as caught:
        await client.request(method, url, **more)
    return caught.value


# --- S1, S2, S11, S12: addresses in every writing ---

LOOPBACK = (
    *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]"),
    *("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001", "127.0.0.1.", "0"),
    *(
        "0.0.0.0",
        "[::]",
        "１２７.０.０.１",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "a@127.0.0.1",
        "a:b@127.0.0.1",
    ),
    *("localhost", "LOCALHOST", "localhost.", "site.test@127.0.0.1"),
)


@pytest.mark.parametrize("host", LOOPBACK)
async def test_s1_s12_loopback_is_refused_however_it_is_written(host: str) -> None:
    async with listener() as server, EgressClient(resolver=Names()) as client:
        error = await refused(client, f"http://{host}:{server.port}/")
        async with httpx.AsyncClient(transport=client.transport) as other:
            with pytest.raises((EgressRefused, httpx.InvalidURL, UnicodeError)):
                await other.get(f"http://{host}:{server.port}/")
    assert server.connections == 0
    assert error.code == "egress_refused"


@pytest.mark.parametrize(
    "host",
    [
        *("[::ffff:a9fe:a9fe]", "100.64.0.1", "198.18.0.1", "192.0.0.1", "240.0.0.1", "[fd00::1]", "[fe80::1]"),
        *("10.0.0.1", "172.16.0.1", "192.168.0.1", "224.0.0.1", "255.255.255.255", "[ff02::1]", "[2001:db8::1]"),
    ],
)
async def test_s2_other_ranges_are_refused(host: str) -> None:
    async with EgressClient(resolver=Names()) as client:
        await refused(client, f"http://{host}/")
        await refused(client, f"https://{host}/")


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "metadata.google.internal", "METADATA.google.internal.", "[fd00:ec2::254]", "100.100.100.200"],
)
async def test_s11_metadata_services_are_refused_even_when_allowed(host: str) -> None:
    name = host.strip("[]")
    async with EgressClient(allow=frozenset({(name, 80)}), resolver=Names()) as client:
        assert "metadata" in str(await refused(client, f"http://{host}/latest/meta-data"))


async def test_s11_an_allowed_name_that_leads_to_metadata_is_refused() -> None:
    resolver = Names({"inside.test": [["169.254.169.254"]]})
    async with EgressClient(allow=frozenset({("inside.test", 80)}), resolver=resolver) as client:
        await refused(client, "http://inside.test/")


async def test_the_operators_list_is_exact() -> None:
    async with outside(answer(body=b"ok"), "inside.test") as (client, server), listener() as other:
        assert (await client.request("GET", f"http://inside.test:{server.port}/")).body == b"ok"
        await refused(client, f"http://inside.test:{other.port}/")
        await refused(client, f"http://other.inside.test:{server.port}/")
        await refused(client, f"http://127.0.0.1:{server.port}/")
    assert other.connections == 0


async def test_s12_the_host_is_what_the_one_parser_says() -> None:
    resolver = Names({"example.com": [["10.0.0.1"]], "x": [["10.0.0.1"]]})
    async with EgressClient(resolver=resolver) as client:
        for url in ("http://example.com#@127.0.0.1/", "http://127.0.0.1%2f@x/", "http:\\\\example.com\\@127.0.0.1"):
            await refused(client, url)
    assert set(resolver.asked) == {"example.com", "x"}


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "gopher://site.test/_x", "ftp://site.test/", "javascript:alert(1)", "data:,x", "//x/y"),
        *("", "site.test", "http://", "http:///", "http://[::1", "http://a b/", "http://site.test:99999/", "unix:/x"),
        *("dict://site.test:11211/", "http://[fe80::1%25eth0]/", "ws://site.test/", "http://\u00ad/"),
    ],
)
async def test_s12_only_proper_http_urls_are_fetched(url: str) -> None:
    resolver = Names()
    async with EgressClient(resolver=resolver) as client:
        await refused(client, url)
    assert resolver.asked == []


@pytest.mark.parametrize("port", [22, 25, 6379, 5432, 11211])
async def test_ports_of_other_services_are_refused_before_the_name_is_resolved(port: int) -> None:
    resolver = Names({"site.test": [["93.184.216.34"]]})
    async with EgressClient(resolver=resolver) as client:
        await refused(client, f"http://site.test:{port}/")
    assert resolver.asked == []


# --- S3, S8: names that change their mind ---


async def test_s3_a_name_is_resolved_once_and_the_checked_address_is_used() -> None:
    """The second answer would be the internal listener: nothing may ask for it, and nothing may connect to it."""
    resolver = Names({"rebind.test": [["127.0.0.2"], ["127.0.0.1"]]})
    async with listener() as server:
        client = EgressClient(allow=frozenset({("rebind.test", server.port)}), resolver=resolver)
        with pytest.raises(RetryLater):  # 127.0.0.2, which was checked, has no listener
            await client.request("GET", f"http://rebind.test:{server.port}/")
        await client.aclose()
    assert resolver.asked == ["rebind.test"]
    assert server.connections == 0


async def test_s3_one_private_answer_among_public_ones_refuses_them_all() -> None:
    resolver = Names({"mixed.test": [["93.184.216.34", "127.0.0.1"]]})
    async with listener() as server, EgressClient(resolver=resolver) as client:
        await refused(client, f"http://mixed.test:{server.port}/")
    assert server.connections == 0


async def test_s8_an_address_is_checked_at_every_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.sdk.http._DNS_SECONDS", -1.0)  # as if time had passed since the URL was saved
    resolver = Names({"mcp.test": [["93.184.216.34"], ["127.0.0.1"]]})
    async with listener() as server, EgressClient(resolver=resolver) as client:
        assert await client.check_host("mcp.test", server.port) == ["93.184.216.34"]
        await refused(client, f"http://mcp.test:{server.port}/")
    assert server.connections == 0


# --- S4, S5: redirects ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_s4_a_redirect_inwards_is_refused(status: int) -> None:
    async with listener() as inside:
        handler = redirect(f"http://127.0.0.1:{inside.port}/admin", status)
        async with outside(handler) as (client, server):
            await refused(client, f"http://site.test:{server.port}/", "POST", content=b"body")
            async with httpx.AsyncClient(transport=client.transport, follow_redirects=True) as other:
                with pytest.raises(EgressRefused):
                    await other.post(f"http://site.test:{server.port}/", content=b"body")
    assert inside.connections == 0


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://site.test/", "//127.0.0.1:1/", "http://[::1]:1/"])
async def test_s4_a_redirect_to_something_else_is_refused(location: str) -> None:
    async with outside(redirect(location)) as (client, server):
        await refused(client, f"http://site.test:{server.port}/")


async def test_s4_s14_endless_redirects_end() -> None:
    async with outside(redirect("/again")) as (client, server):
        error = await refused(client, f"http://site.test:{server.port}/")
    assert "redirects" in str(error)
    assert len(server.received) == MAX_HOPS + 1


SECRET_HEADERS = {
    "Authorization": "Bearer t",
    "Cookie": "session=1",
    "Proxy-Authorization": "Basic x",
    "X-Api-Key": "k",
    "apikey": "k",
    "X-Goog-Api-Key": "k",
    "Ocp-Apim-Subscription-Key": "k",
    "X-Figma-Token": "k",
    "Some-Name-Nobody-Thought-Of": "k",
}


@pytest.mark.parametrize("status", [302, 307])
async def test_s5_no_secret_goes_to_another_origin(status: int) -> None:
    headers = {**SECRET_HEADERS, "Accept": "text/csv"}
    async with serving(answer()) as evil, outside(redirect(f"http://evil.test:{evil.port}/", status)) as (_, server):
        allow = frozenset({("site.test", server.port), ("evil.test", evil.port)})
        async with EgressClient(allow=allow, resolver=Names()) as client:
            url = f"http://me:password@site.test:{server.port}/"
            await client.request("POST", url, headers=headers, content=b"body")
            async with httpx.AsyncClient(transport=client.transport, follow_redirects=True) as other:
                await other.post(url, headers=headers, content=b"body")
    assert len(evil.received) == 2
    for received in evil.received:
        assert not {name.lower() for name in SECRET_HEADERS} & set(received.headers)
        assert received.headers["accept"] == "text/csv"
    assert "x-api-key" in server.received[0].headers


# --- S7: raw connections ---


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 587), ("10.0.0.1", 25), ("mail.test", 465), ("[::1]", 25)])
async def test_s7_mail_goes_to_no_internal_host(host: str, port: int) -> None:
    async with EgressClient(resolver=Names()) as client:
        with pytest.raises(EgressRefused):
            await client.open_tcp(host, port, ports=MAIL_PORTS)


@pytest.mark.parametrize("port", [6379, 80, 22, 8080])
async def test_s7_mail_goes_to_mail_ports_only(port: int) -> None:
    resolver = Names({"mail.test": [["93.184.216.34"]]})
    async with EgressClient(resolver=resolver) as client:
        with pytest.raises(EgressRefused):
            await client.open_tcp("mail.test", port, ports=MAIL_PORTS)
        with pytest.raises(EgressRefused):
            await client.check_host("mail.test", port, ports=MAIL_PORTS)
        assert await client.check_host("mail.test", 587, ports=MAIL_PORTS) == ["93.184.216.34"]


async def test_s7_an_allowed_mail_server_is_reached_and_a_banner_is_not_in_the_error() -> None:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 redis-internal ready\r\n")
        writer.close()

    server = await asyncio.start_server(banner, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, EgressClient(allow=frozenset({("mail.test", port)}), resolver=Names()) as client:
        reader, writer = await client.open_tcp("mail.test", port, ports=MAIL_PORTS, tls=False)
        assert (await reader.readline()).startswith(b"220")
        writer.close()
        for attempt in (
            client.open_tcp("mail.test", port, ports=MAIL_PORTS, tls=True),
            client.request("GET", f"http://mail.test:{port}/"),
        ):
            with pytest.raises(RetryLater) as caught:
                await attempt
            assert "redis-internal" not in f"{caught.value} {caught.value.fix} {caught.value.__cause__}"


# --- S10, S13: credentials stay with their hosts ---


def key(*hosts: str) -> Credentials:
    return Credentials(id="1", provider="acme", kind=AuthKind.API_KEY, secret=SecretStr("s3cret"), hosts=hosts)


@pytest.mark.parametrize(
    "hosts", [(), ("api.acme.test",), ("test",), ("evil.site.test",), ("site.test.evil",), ("*",), ("site.test:1",)]
)
async def test_s10_s13_credentials_are_refused_for_any_host_but_their_own(hosts: tuple[str, ...]) -> None:
    async with outside(answer()) as (client, server):
        error = await refused(client, f"http://site.test:{server.port}/models", credentials=key(*hosts))
    assert server.connections == 0
    assert "s3cret" not in f"{error} {error.fix}"


async def test_s13_credentials_go_to_their_own_host_with_or_without_its_port() -> None:
    async with outside(answer()) as (client, server):
        for host in ("site.test", "SITE.test", f"site.test:{server.port}"):
            await client.request("GET", f"http://site.test:{server.port}/", credentials=key(host))
    assert [each.headers["authorization"] for each in server.received] == ["Bearer s3cret"] * 3


async def test_s13_a_redirect_takes_no_credentials_along_and_brings_them_back_home() -> None:
    async with serving(answer()) as evil:
        home: list[str] = []

        async def back(_: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 302 F\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % home[0].encode())

        evil.handler = back
        async with serving(in_turn(redirect(f"http://evil.test:{evil.port}/"), answer())) as server:
            home.append(f"http://site.test:{server.port}/home")
            allow = frozenset({("site.test", server.port), ("evil.test", evil.port)})
            async with EgressClient(allow=allow, resolver=Names()) as client:
                await client.request("GET", f"http://site.test:{server.port}/", credentials=key("site.test"))
    assert "authorization" not in evil.received[0].headers
    assert [each.headers.get("authorization") for each in server.received] == ["Bearer s3cret"] * 2


async def test_s13_a_redirect_that_would_carry_the_secret_in_the_body_is_refused() -> None:
    async with serving(answer()) as evil, outside(redirect(f"http://evil.test:{evil.port}/", 307)) as (_, server):
        allow = frozenset({("site.test", server.port), ("evil.test", evil.port)})
        async with EgressClient(allow=allow, resolver=Names()) as client:
            url = f"http://site.test:{server.port}/"
            await refused(client, url, "POST", data={"key": "s3cret"}, credentials=key("site.test"))
            await refused(client, url, "POST", json={"key": "s3cret"}, credentials=key("site.test"))
    assert evil.connections == 0


# --- S14: answers that never end, or grow ---


async def test_s14_an_endless_answer_is_cut_off_at_the_cap() -> None:
    sent = 0

    async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
            await writer.drain()

    async with outside(endless) as (client, server):
        with pytest.raises(ReplyTooLarge):
            await client.request("GET", f"http://site.test:{server.port}/", max_bytes=1_000_000)
    assert sent < 50_000_000


async def test_s14_an_answer_that_says_it_is_too_long_is_not_read() -> None:
    async with outside(answer(headers={"Content-Length": "10000000000"}, length=False)) as (client, server):
        with pytest.raises(ReplyTooLarge):
            await client.request("GET", f"http://site.test:{server.port}/")


@pytest.mark.parametrize("cap", [2_000_000, 10**12])
async def test_s14_a_compression_bomb_is_refused(cap: int) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with outside(answer(body=bomb, headers={"Content-Encoding": "gzip"})) as (client, server):
        with pytest.raises(ReplyTooLarge):
            await client.request("GET", f"http://site.test:{server.port}/", max_bytes=cap)
        async with httpx.AsyncClient(transport=client.transport) as other:
            with pytest.raises(ReplyTooLarge):
                await other.get(f"http://site.test:{server.port}/")


@pytest.mark.parametrize(
    "opening", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
async def test_s14_a_trickle_ends_at_the_deadline(opening: bytes) -> None:
    async def trickle(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(opening)
        while not writer.is_closing():
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with outside(trickle) as (client, server):
        started = time.monotonic()
        with pytest.raises(RetryLater):
            await client.request("GET", f"http://site.test:{server.port}/", timeout=0.3)
    assert time.monotonic() - started >= 0.3  # it was the deadline that ended it, though bytes kept coming


# --- S15: smuggling ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nEvil: 1"),
        ("X-A", "1\nEvil: 1"),
        ("X-A", "1\rEvil: 1"),
        ("X-A", "1\x00"),
        ("X-A\r\nEvil", "1"),
        ("X-A: 1\r\nEvil", "1"),
        ("X A", "1"),
        ("", "1"),
        ("Ä", "1"),
    ],
)
async def test_s15_header_injection_is_refused_and_never_sent(name: str, value: str) -> None:
    async with outside(answer()) as (client, server):
        url = f"http://site.test:{server.port}/"
        error = await refused(client, url, headers={name: value})
        await refused(client, url, credentials=replace(key("site.test"), headers={name: SecretStr(value)}))
    assert error.status == 400
    assert server.received == []


@pytest.mark.parametrize("part", ["/a\r\nEvil: 1", "/a?b=\n", "/a\tb", "/a\x00"])
async def test_s15_control_characters_in_a_url_are_refused(part: str) -> None:
    async with outside(answer()) as (client, server):
        await refused(client, f"http://site.test:{server.port}{part}")
    assert server.received == []


@pytest.mark.parametrize("method", ["GET /x HTTP/1.1\r\nEvil:", "GE T", "", "CONNECT", "TRACE", "GÉT"])
async def test_s15_odd_methods_are_refused(method: str) -> None:
    async with outside(answer()) as (client, server):
        await refused(client, f"http://site.test:{server.port}/", method)
    assert server.received == []


async def test_s15_values_of_params_are_encoded() -> None:
    async with outside(answer()) as (client, server):
        await client.request("GET", f"http://site.test:{server.port}/", params={"a": "1\r\nEvil: 1", "b\r\n": "2"})
    assert server.received[0].target == "/?a=1%0D%0AEvil%3A+1&b%0D%0A=2"
