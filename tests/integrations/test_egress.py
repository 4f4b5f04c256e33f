"""Integrations through the real egress client: what arrives at the provider, and what a redirect takes along."""

import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from tests.sdk.http_server import Server, answer, in_turn, redirect, serving
from treadle.sdk.client import Client, get, post
from treadle.sdk.context import Context
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import BlockError
from treadle.sdk.http import EgressClient
from treadle.sdk.integration import ApiKey, InHeader, InQuery, Integration
from treadle.sdk.testing import make_context

API, OTHER = "api.doors.test", "other.test"
SECRET = "canary-52"


async def to_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def provider(
    server_handler: Any, placement: InHeader | InQuery
) -> AsyncIterator[tuple[Integration, Context, Server]]:
    """A provider with TLS, its integration, and a context whose only door is the egress client."""
    authority = trustme.CA()
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert(API, OTHER).configure_cert(served)
    authority.configure_trust(trusted)
    async with serving(server_handler, served) as server:
        allow = frozenset({(API, server.port), (OTHER, server.port)})
        auth = ApiKey(variables=("DOORS_KEY",), obtain="https://doors.example", placement=placement)
        doors = Integration(
            "doors", "Doors", "Doors.", "https://doors.example", f"https://{API}:{server.port}", (auth,)
        )
        held = Credentials("1", "doors", AuthKind.API_KEY, SecretStr(SECRET), hosts=(API,))
        async with EgressClient(allow=allow, resolver=to_loopback, tls=lambda: trusted) as client:
            yield doors, make_context(http=client, credentials={"credentials": held}), server


async def test_the_header_of_the_manifest_arrives_once() -> None:
    body = json.dumps({"ok": True}).encode()
    async with provider(answer(body=body), InHeader("X-Key", prefix="")) as (doors, ctx, server):
        assert await Client(doors, ctx).call(post("/doors/{door}", body={"a": 1}), {"door": "a/b"}) == {"ok": True}
        request = server.received[0]
        assert request.target == "/doors/a%2Fb" and json.loads(request.body) == {"a": 1}
        assert request.headers["x-key"] == SECRET and "authorization" not in request.headers


async def test_a_key_in_the_query_arrives_there_only() -> None:
    async with provider(answer(body=b"{}"), InQuery("key")) as (doors, ctx, server):
        await Client(doors, ctx).call(get("/doors", params={"q": "a b"}))
        assert server.received[0].target == f"/doors?q=a+b&key={SECRET}"
        assert SECRET not in str(server.received[0].headers)


@pytest.mark.parametrize("placement", [InHeader(), InHeader("X-Key", prefix=""), InQuery("key")])
async def test_a_redirect_to_another_host_takes_no_secret_along(placement: InHeader | InQuery) -> None:
    def elsewhere(server: Server) -> str:
        return f"https://{OTHER}:{server.port}/stolen"

    async with provider(answer(), placement) as (doors, ctx, server):
        server.handler = in_turn(redirect(elsewhere(server)), answer(body=b"{}"))
        await Client(doors, ctx).call(get("/doors"))
        second = server.received[1]
        assert second.target == "/stolen" and SECRET not in f"{second.headers}{second.target}"


async def test_a_redirect_that_repeats_the_secret_in_its_address_is_refused() -> None:
    async with provider(answer(), InQuery("key")) as (doors, ctx, server):
        server.handler = redirect(f"https://{OTHER}:{server.port}/stolen?key={SECRET}")
        with pytest.raises(BlockError):
            await Client(doors, ctx).call(get("/doors"))
        assert len(server.received) == 1
