"""A served platform: real sockets, with the worker in reach of the test."""

import asyncio
import contextlib
import functools
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import websockets
from granian.constants import Interfaces
from granian.server.embed import Server
from websockets.asyncio.client import ClientConnection

from tests.conftest import isolated_settings
from tests.docs.test_snippets import ROOT
from tests.engine.harness import Calls, blocks, until
from tests.web.conftest import EDGE, TOKEN, URL, sign_in_newcomer
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, WorkspaceId
from treadle.blocks.catalogue import ALL_BLOCKS
from treadle.features.accounts.access import Role
from treadle.features.accounts.sessions import SignedIn
from treadle.kernel.plan import Plan
from treadle.main.connections import MOST_CONNECTIONS, WAITING_CONNECTIONS
from treadle.main.people import told_of_changes
from treadle.main.site import site_of
from treadle.main.wiring import Platform, running_platform
from treadle.web.app import make_app
from treadle.web.edge import Edge
from treadle.web.live.socket import BEARER, PROTOCOL
from treadle.web.site import Site

SECONDS = 30.0
SCHEMA = ROOT / "docs" / "live-events.schema.json"
Message = dict[str, Any]


@functools.cache
def _validator() -> jsonschema_rs.Validator:
    whole = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return jsonschema_rs.validator_for({**whole, "$ref": "#/$defs/server"}, validate_formats=True)


def conforms(message: Message) -> bool:
    """Whether a message is one that the schema allows the server to send."""
    return bool(_validator().is_valid(message))


@dataclass(slots=True)
class Talk:
    """One WebSocket, as a client has it."""

    connection: ClientConnection

    async def say(self, type: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": type, **fields}, default=str))

    async def hear(self) -> Message:
        """The next message; the test fails if it does not come."""
        async with asyncio.timeout(SECONDS):
            heard: Message = json.loads(await self.connection.recv())
        assert conforms(heard), heard
        return heard

    async def ask(self, type: str, **fields: Any) -> Message:
        """Say something, and hear the answer to it."""
        await self.say(type, **fields)
        return await self.hear()

    async def hear_until(self, type: str) -> list[Message]:
        """All messages up to the first of a type."""
        heard: list[Message] = []
        try:
            async with asyncio.timeout(SECONDS):
                while not heard or heard[-1]["type"] != type:
                    heard.append(await self.hear())
        except TimeoutError as error:
            raise AssertionError(f"no {type} among {heard}") from error
        return heard

    async def closed(self) -> int:
        """The code with which the server closes, whatever it says before."""
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await self.connection.recv()
        return self.connection.close_code or 0


@dataclass(slots=True)
class Live:
    """The served platform."""

    platform: Platform
    site: Site
    port: int
    calls: Calls

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def submit(self, plan: Plan, workspace: WorkspaceId = LOCAL_WORKSPACE, **options: Any) -> ExecutionId:
        return await self.platform.worker.submit(workspace, plan, {}, **options)

    async def ended(self, id: ExecutionId) -> None:
        async with asyncio.timeout(SECONDS):
            await self.platform.worker.finished(LOCAL_WORKSPACE, id)

    async def person(self, role: Role | None = None, workspace: WorkspaceId = LOCAL_WORKSPACE) -> SignedIn:
        """A newcomer who has signed in, and is a member of a workspace if a role is given."""
        return await sign_in_newcomer(self.site.sessions, role, workspace, admin=False)

    @contextlib.asynccontextmanager
    async def talk(self, token: str = TOKEN, **options: Any) -> AsyncIterator[Talk]:
        """A connection of somebody who is known."""
        async with self.stranger(subprotocols=[PROTOCOL, BEARER + token], **options) as talk:
            assert (await talk.hear())["type"] == "ready"
            yield talk

    @contextlib.asynccontextmanager
    async def stranger(self, **options: Any) -> AsyncIterator[Talk]:
        """A connection of somebody who has not been answered yet."""
        async with websockets.connect(self.address, proxy=None, **options) as connection:
            yield Talk(connection)

    async def streamed(self, path: str, **headers: str) -> list[dict[str, Any]]:
        """The events of a stream that ends by itself, each with its id."""
        events: list[dict[str, Any]] = []
        fields: dict[str, str] = {}
        async with self.http() as http, http.stream("GET", path, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif "data" in fields:
                    message = json.loads(fields["data"])
                    assert conforms(message), message
                    events.append({**message, "id": fields.get("id")})
                    fields = {}
        return events

    def http(self, token: str = TOKEN) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=SECONDS,
            trust_env=False,
        )


@contextlib.asynccontextmanager
async def served(site: Site, edge: Edge) -> AsyncIterator[int]:
    """Serve the site on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    server = Server(
        make_app(site, edge),
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGINL,
        backlog=WAITING_CONNECTIONS,
        backpressure=MOST_CONNECTIONS,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: _answers(port))
        yield port
    finally:
        await site.visitors.close()
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait_for(serving, SECONDS)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.fixture
async def live(install: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    """A served platform with the tiny blocks of the engine's tests."""
    calls = Calls()
    tiny = [each for each in blocks(calls) if each not in ALL_BLOCKS]
    async with running_platform(isolated_settings(install, monkeypatch), tiny) as platform:
        site = site_of(platform, TOKEN, URL)
        async with told_of_changes(platform, site), served(site, EDGE) as port:
            yield Live(platform, site, port, calls)
            calls.gate.set()
