"""The egress client as a client: what it sends, what it makes of answers, and how it uses connections."""

import asyncio
import gzip
import json
import ssl
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import trustme
from pydantic import SecretStr

from tests.sdk.http_server import Handler, Received, Server, answer, in_turn, redirect, serving, until
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import InputRefused, RetryLater
from treadle.sdk.http import EgressClient, retry_after
from treadle.sdk.http_body import ReplyMalformed, ReplyTooLarge
from treadle.sdk.http_policy import EgressRefused


async def to_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def connected(handler: Handler, **options: Any) -> AsyncIterator[tuple[EgressClient, Server, str]]:
    """A client, a server that it may reach as ``site.test``, and the server's base URL."""
    async with serving(handler) as server:
        allow = frozenset({("site.test", server.port), ("127.0.0.1", server.port)})
        async with EgressClient(allow=allow, resolver=to_loopback, **options) as client:
            yield client, server, f"http://site.test:{server.port}"


def credentials(kind: AuthKind = AuthKind.API_KEY, **more: Any) -> Credentials:
    fields: dict[str, Any] = {"hosts": ("site.test",), "secret": SecretStr("s3cret"), **more}
    return Credentials(id="1", provider="acme", kind=kind, **fields)


class Pauses:
    """Stands in for sleeping, and remembers how long."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


# --- what is sent ---


async def test_a_get_with_params_adds_to_the_urls_own_query() -> None:
    async with connected(answer(body=b"hello")) as (client, server, base):
        reply = await client.request("get", f"{base}/a b?x=1#f", params={"q": "ä&", "n": [1, 2], "no": None, "t": True})
    sent = server.received[0]
    assert (reply.status, reply.text()) == (200, "hello")
    assert (sent.method, sent.target) == ("GET", "/a%20b?x=1&q=%C3%A4%26&n=1&n=2&t=true")
    assert sent.headers["host"] == f"site.test:{server.port}"
    assert "content-length" not in sent.headers


async def test_json_is_sent_as_json() -> None:
    async with connected(answer()) as (client, server, base):
        await client.request("POST", base, json={"a": ["ä", None, 10**30]})
    assert json.loads(server.received[0].body) == {"a": ["ä", None, 10**30]}
    assert server.received[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("value", [{"a": float("nan")}, {1, 2}, "\ud800"])
async def test_what_has_no_json_form_is_refused(value: Any) -> None:
    async with connected(answer()) as (client, server, base):
        with pytest.raises(InputRefused):
            await client.request("POST", base, json=value)
    assert server.received == []


async def test_a_form_is_sent_as_a_form() -> None:
    async with connected(answer()) as (client, server, base):
        await client.request("POST", base, data={"a": "1 ä", "b": [1, 2]})
    assert server.received[0].body == b"a=1+%C3%A4&b=1&b=2"
    assert server.received[0].headers["content-type"] == "application/x-www-form-urlencoded"


async def test_files_are_sent_as_multipart_and_no_name_breaks_out() -> None:
    async with connected(answer()) as (client, server, base):
        files = {"file": ('x"\r\nEvil: 1', b"\x00data", "text/plain\r\nEvil: 1")}
        await client.request("POST", base, data={"n": "v"}, files=files, headers={"Content-Type": "text/plain"})
    sent = server.received[0]
    boundary = sent.headers["content-type"].partition("boundary=")[2].encode()
    parts = sent.body.split(b"--" + boundary)
    assert len(parts) == 4
    assert parts[1] == b'\r\nContent-Disposition: form-data; name="n"\r\n\r\nv\r\n'
    assert parts[2] == (
        b'\r\nContent-Disposition: form-data; name="file"; filename="x%22%0D%0AEvil: 1"\r\n'
        b"Content-Type: text/plainEvil: 1\r\n\r\n\x00data\r\n"
    )
    assert parts[3] == b"--\r\n"


async def test_bytes_are_sent_as_they_are_and_two_bodies_are_a_mistake() -> None:
    async with connected(answer()) as (client, server, base):
        await client.request("PUT", base, content=b"\x00\xff", headers={"Content-Type": "image/png"})
        with pytest.raises(ValueError, match="one body"):
            await client.request("PUT", base, content=b"", json={})
    assert (server.received[0].body, server.received[0].headers["content-type"]) == (b"\x00\xff", "image/png")


async def test_an_empty_post_says_that_it_is_empty() -> None:
    async with connected(answer()) as (client, server, base):
        await client.request("POST", base)
    assert server.received[0].headers["content-length"] == "0"


async def test_headers_that_frame_the_message_are_the_clients_own() -> None:
    async with connected(answer()) as (client, server, base):
        odd = {"Host": "other.test", "Content-Length": "99", "Transfer-Encoding": "chunked", "X-Mine": "yes"}
        await client.request("POST", base, content=b"body", headers=odd)
    sent = server.received[0].headers
    assert (sent["host"], sent["content-length"], sent["x-mine"]) == (f"site.test:{server.port}", "4", "yes")
    assert "transfer-encoding" not in sent


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    async with connected(answer()) as (client, server, base):
        await client.request("POST", base, content=body)
    assert server.received[0].body == body


# --- credentials ---


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (credentials(), {"authorization": "Bearer s3cret"}),
        (credentials(AuthKind.OAUTH2), {"authorization": "Bearer s3cret"}),
        (credentials(AuthKind.USER_PASSWORD, username="me"), {"authorization": "Basic bWU6czNjcmV0"}),
        (
            credentials(AuthKind.HOST_SCOPED, secret=SecretStr(""), headers={"X-One": SecretStr("1")}),
            {"x-one": "1"},
        ),
    ],
)
async def test_credentials_are_sent_in_the_way_of_their_kind(given: Credentials, sent: dict[str, str]) -> None:
    async with connected(answer()) as (client, server, base):
        await client.request("GET", base, credentials=given)
    headers = server.received[0].headers
    assert {name: headers.get(name) for name in sent} == sent


async def test_a_secret_that_the_caller_has_placed_is_not_sent_twice() -> None:
    async with connected(answer()) as (client, server, base):
        await client.request("GET", base, headers={"X-Api-Key": "s3cret"}, credentials=credentials())
        await client.request("GET", base, params={"key": "s3cret"}, credentials=credentials())
    assert all("authorization" not in each.headers for each in server.received)
    assert server.received[0].headers["x-api-key"] == "s3cret"


async def test_user_and_password_in_the_url_become_a_header_and_are_not_in_the_replys_url() -> None:
    async with connected(answer()) as (client, server, base):
        reply = await client.request("GET", base.replace("://", "://me:p%40ss@"))
    assert server.received[0].headers["authorization"] == "Basic bWU6cEBzcw=="
    assert reply.url == f"{base}/"


# --- what comes back ---


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        ("gzip", gzip.compress(b"x" * 100_000 + b"y", mtime=0)),
        ("deflate", zlib.compress(b"x" * 100_000 + b"y")),
        ("deflate", zlib.compress(b"x" * 100_000 + b"y", wbits=-15)),
        ("identity", b"x" * 100_000 + b"y"),
    ],
)
async def test_answers_are_decompressed(encoding: str, encoded: bytes) -> None:
    async with connected(answer(body=encoded, headers={"Content-Encoding": encoding})) as (client, server, base):
        reply = await client.request("GET", base)
        assert reply.body == b"x" * 100_000 + b"y"
        async with httpx.AsyncClient(transport=client.transport) as other:
            assert (await other.get(base)).content == reply.body
    assert server.received[0].headers["accept-encoding"] == "gzip, deflate"
    assert server.received[1].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", b"not gzip"), ("gzip", gzip.compress(b"x" * 1000, mtime=0)[:-9]), ("br", b"x"), ("gzip, gzip", b"x")],
)
async def test_broken_and_unasked_encodings_are_errors(encoding: str, body: bytes) -> None:
    async with connected(answer(body=body, headers={"Content-Encoding": encoding})) as (client, _, base):
        with pytest.raises(ReplyMalformed):
            await client.request("GET", base)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=iso-8859-1", b"\xe4", "ä"),
        ("text/plain", b"\xc3\xa4\xff", "ä\ufffd"),
        ("text/plain; charset=no-such", b"\xc3\xa4", "ä"),
        ('text/plain; charset="utf-16-le"', b"a\x00", "a"),
    ],
)
async def test_text_is_decoded_by_its_charset(kind: str, body: bytes, text: str) -> None:
    async with connected(answer(body=body, headers={"Content-Type": kind})) as (client, _, base):
        assert (await client.request("GET", base)).text() == text


async def test_json_is_read_and_anything_else_is_an_error() -> None:
    bodies = (b'{"a": 1}', b"<html>", b"", b"[" * 100_000)
    async with connected(in_turn(*(answer(body=body) for body in bodies))) as (client, _, base):
        assert (await client.request("GET", base)).json() == {"a": 1}
        for _ in bodies[1:]:
            reply = await client.request("GET", base)
            with pytest.raises(ReplyMalformed):
                reply.json()


async def test_headers_are_found_in_any_case_and_repeated_ones_joined() -> None:
    async def give(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")

    async with connected(give) as (client, _, base):
        headers = (await client.request("GET", base)).headers
    assert headers["X-A"] == headers["x-a"] == "1, 2"
    assert "X-a" in headers
    assert dict(headers) == {"x-a": "1, 2", "content-length": "0"}


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 418, 500])
async def test_any_status_is_an_answer(status: int) -> None:
    async with connected(answer(status, length=status not in (204, 304))) as (client, _, base):
        assert (await client.request("GET", base)).status == status


async def test_head_reads_no_body() -> None:
    async with connected(answer(headers={"Content-Length": "500"}, length=False)) as (client, server, base):
        assert (await client.request("HEAD", base)).body == b""
        await client.request("HEAD", base)
    assert server.connections == 1


async def test_bodies_in_chunks_and_bodies_that_end_with_the_connection_are_read() -> None:
    async def chunked(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0)
        writer.write(b"2\r\nde\r\n0\r\n\r\n")

    async def until_end(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nfghi")
        writer.close()

    async with connected(in_turn(chunked, until_end)) as (client, _, base):
        assert (await client.request("GET", base)).body == b"abcde"
        assert (await client.request("GET", base)).body == b"fghi"


# --- redirects ---


@pytest.mark.parametrize(
    ("status", "method", "then", "keeps"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (307, "POST", "POST", True),
        (308, "PUT", "PUT", True),
        (302, "HEAD", "HEAD", True),
    ],
)
async def test_redirects_keep_or_change_the_method(status: int, method: str, then: str, keeps: bool) -> None:
    async with connected(in_turn(redirect("../next?x=1", status), answer())) as (client, server, base):
        reply = await client.request(method, f"{base}/a/b", content=b"body", headers={"Authorization": "Bearer t"})
    sent = server.received[1]
    assert (sent.method, sent.target, sent.body) == (then, "/next?x=1", b"body" if keeps else b"")
    assert sent.headers["authorization"] == "Bearer t", "the same origin keeps its secrets"
    assert reply.url == f"{base}/next?x=1"


# --- trying again ---


async def test_passing_failures_are_tried_again_after_the_wait_that_the_server_asks_for() -> None:
    pauses = Pauses()
    handler = in_turn(answer(429, headers={"Retry-After": "7"}), answer(503), answer(200, b"done"))
    async with connected(handler, sleep=pauses) as (client, server, base):
        assert (await client.request("GET", base, retries=3)).body == b"done"
    assert len(server.received) == 3
    assert pauses.taken[0] == 7
    assert 0.5 <= pauses.taken[1] <= 1.0


async def test_the_last_answer_is_given_back_when_tries_are_used_up() -> None:
    pauses = Pauses()
    async with connected(answer(503), sleep=pauses) as (client, server, base):
        assert (await client.request("GET", base, retries=2)).status == 503
    assert (len(server.received), len(pauses.taken)) == (3, 2)


async def test_a_wait_that_is_too_long_is_left_to_the_caller() -> None:
    pauses = Pauses()
    async with connected(answer(429, headers={"Retry-After": "3600"}), sleep=pauses) as (client, server, base):
        assert (await client.request("GET", base, retries=5)).status == 429
    assert (len(server.received), pauses.taken) == (1, [])


@pytest.mark.parametrize(("headers", "tries"), [({}, 1), ({"Idempotency-Key": "k"}, 3)])
async def test_a_post_is_tried_again_only_with_an_idempotency_key(headers: dict[str, str], tries: int) -> None:
    async with connected(answer(502), sleep=Pauses()) as (client, server, base):
        await client.request("POST", base, json={}, headers=headers, retries=2)
    assert len(server.received) == tries


async def test_trouble_is_tried_again_but_a_refusal_is_not() -> None:
    async def hang_up(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    pauses = Pauses()
    async with connected(in_turn(hang_up, answer(200)), sleep=pauses) as (client, _, base):
        assert (await client.request("GET", base, retries=1)).status == 200
        with pytest.raises(EgressRefused):
            await client.request("GET", "http://10.0.0.1/", retries=5)
    assert len(pauses.taken) == 1


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert retry_after({"retry-after": "12"}) == 12
    assert 90 < (retry_after({"retry-after": later}) or 0) <= 100
    assert retry_after({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


# --- trouble ---


async def test_no_answer_in_time_is_retry_later() -> None:
    async def silence(_: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with connected(silence) as (client, _, base):
        with pytest.raises(RetryLater, match="did not answer within"):
            await client.request("GET", base, timeout=0.05)
        async with httpx.AsyncClient(transport=client.transport) as other:
            with pytest.raises(httpx.ReadTimeout):
                await other.get(base, timeout=0.05)


async def test_a_closed_port_and_an_unknown_name_are_retry_later() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    async with serving(answer()) as server:
        port = server.port
    async with EgressClient(allow=frozenset({("127.0.0.1", port)}), resolver=unknown) as client:
        with pytest.raises(RetryLater, match="cannot connect"):
            await client.request("GET", f"http://127.0.0.1:{port}/")
        with pytest.raises(RetryLater, match="cannot be resolved"):
            await client.request("GET", "http://nowhere.test/")
        async with httpx.AsyncClient(transport=client.transport) as other:
            for url in (f"http://127.0.0.1:{port}/", "http://nowhere.test/"):
                with pytest.raises(httpx.ConnectError):
                    await other.get(url)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    ],
)
async def test_answers_that_are_not_http_are_retry_later_and_are_not_quoted(raw: bytes) -> None:
    async def give(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    async with connected(give) as (client, _, base):
        with pytest.raises(RetryLater) as caught:
            await client.request("POST", base)
    assert "OpenSSH" not in str(caught.value)


# --- connections ---


async def test_connections_are_used_again() -> None:
    async with connected(answer(body=b"x" * 1000)) as (client, server, base):
        for _ in range(5):
            await client.request("GET", base)
    assert (server.connections, len(server.received)) == (1, 5)


async def test_a_kept_connection_that_the_server_has_closed_is_replaced() -> None:
    async def once(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with connected(once) as (client, server, base):
        for _ in range(3):
            assert (await client.request("GET", base)).status == 200
            await until(lambda: not server.open)
        await asyncio.sleep(0.1)  # the end has reached this side as well: a POST must not run into it
        assert (await client.request("POST", base)).status == 200
    assert server.connections == 4


async def test_a_get_is_sent_again_when_a_kept_connection_breaks_under_it_and_a_post_is_not() -> None:
    async def abort(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with connected(in_turn(answer(), abort, answer(), abort)) as (client, server, base):
        await client.request("GET", base)
        assert (await client.request("GET", base)).status == 200
        with pytest.raises(RetryLater):
            await client.request("POST", base)
    assert len(server.received) == 4


async def test_bytes_that_nobody_asked_for_spoil_a_connection() -> None:
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"

    async def talkative(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" + extra)

    async with connected(talkative) as (client, server, base):
        assert [(await client.request("GET", base)).body for _ in range(3)] == [b"good"] * 3
    assert server.connections == 3


async def test_two_hundred_requests_wait_at_the_same_time() -> None:
    everybody = asyncio.Barrier(200)

    async def together(received: Received, writer: asyncio.StreamWriter) -> None:
        await everybody.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with connected(together) as (client, server, base):
        for _ in range(2):
            replies = await asyncio.gather(*(client.request("GET", base) for _ in range(200)))
            assert {reply.status for reply in replies} == {200}
    assert server.connections == 200


async def test_open_connections_are_bounded() -> None:
    most = 0

    async def count(_: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        most = max(most, server.open)
        await asyncio.sleep(0.01)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    async with connected(count, connections=3) as (client, server, base):
        await asyncio.gather(*(client.request("GET", base) for _ in range(12)))
    assert len(server.received) == 12
    assert most <= 4  # the server may see the next one before it sees the end of the last


async def test_cancelling_a_request_closes_its_connection_and_frees_its_place() -> None:
    async def silence(_: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30 if len(server.received) == 1 else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with connected(silence, connections=1) as (client, server, base):
        request = asyncio.create_task(client.request("GET", base))
        await until(lambda: bool(server.received))
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert (await client.request("GET", base, timeout=5)).status == 200


async def test_a_name_is_resolved_once_for_many_requests_at_once_and_failures_are_not_remembered() -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        await asyncio.sleep(0.01)
        if len(asked) == 1:
            raise OSError("not now")
        return ["127.0.0.1"]

    async with serving(answer()) as server:
        allow = frozenset({("site.test", server.port)})
        async with EgressClient(allow=allow, resolver=resolver) as client:
            url = f"http://site.test:{server.port}/"
            with pytest.raises(RetryLater):
                await client.request("GET", url)
            await asyncio.gather(*(client.request("GET", url) for _ in range(20)))
    assert len(asked) == 2


async def test_the_next_address_is_tried_when_one_does_not_accept() -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["::1", "127.0.0.1"]  # the server listens on the second only

    async with serving(answer()) as server:
        client = EgressClient(allow=frozenset({("site.test", server.port)}), resolver=two)
        assert (await client.request("GET", f"http://site.test:{server.port}/")).status == 200
        await client.aclose()


# --- TLS ---


@asynccontextmanager
async def secure(name: str) -> AsyncIterator[tuple[EgressClient, Server, list[str | None]]]:
    """A TLS server with a certificate for ``name``, a client that trusts its authority, and the names it was asked."""
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(served)
    asked: list[str | None] = []
    served.sni_callback = lambda _, server_name, __: asked.append(server_name)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    async with serving(answer(body=b"safe"), served) as server:
        allow = frozenset({("site.test", server.port)})
        async with EgressClient(allow=allow, resolver=to_loopback, tls=lambda: trusted) as client:
            yield client, server, asked


async def test_https_goes_to_the_pinned_address_under_the_hosts_name() -> None:
    async with secure("site.test") as (client, server, asked):
        reply = await client.request("GET", f"https://site.test:{server.port}/")
        again = await client.request("GET", f"https://site.test:{server.port}/")
    assert (reply.body, again.body, asked) == (b"safe", b"safe", ["site.test"])


async def test_a_certificate_for_another_name_is_refused() -> None:
    async with secure("other.test") as (client, server, _):
        with pytest.raises(RetryLater, match="certificate is not valid"):
            await client.request("GET", f"https://site.test:{server.port}/")
    assert server.received == []


# --- as an httpx transport, and at rest ---


async def test_provider_libraries_stream_through_the_transport() -> None:
    async def events(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            writer.write(b"8\r\ndata: %d\n\r\n" % number)
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with connected(events) as (client, server, base), httpx.AsyncClient(transport=client.transport) as other:
        for _ in range(2):
            async with other.stream("POST", base, json={"a": 1}) as response:
                assert [line async for line in response.aiter_lines()] == ["data: 0", "data: 1", "data: 2"]
    assert server.connections == 1
    assert server.received[0].body == b'{"a":1}'


async def test_a_stream_that_is_left_early_closes_its_connection() -> None:
    async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 1000)
            await writer.drain()

    async with connected(endless, connections=1) as (client, server, base):
        async with httpx.AsyncClient(transport=client.transport) as other, other.stream("GET", base) as response:
            async for _ in response.aiter_bytes():
                break
        await until(lambda: not server.open)
        with pytest.raises(ReplyTooLarge):
            await client.request("GET", base, max_bytes=10_000)


def test_importing_the_client_loads_neither_httpx_nor_certificates() -> None:
    code = "import sys, treadle.sdk.http; print(sorted({'httpx', 'certifi', 'anyio'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
