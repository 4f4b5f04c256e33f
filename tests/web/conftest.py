"""A client of the application on a running platform, without a socket between."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.conftest import isolated_settings
from tests.main.installs import running_install
from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, UserId, WorkspaceId
from treadle.features.accounts.access import Role
from treadle.features.accounts.registration import Newcomer, register
from treadle.features.accounts.sessions import Sessions, SignedIn
from treadle.main.people import told_of_changes
from treadle.main.site import site_of
from treadle.main.wiring import running_platform
from treadle.web.app import make_app
from treadle.web.edge import Edge
from treadle.web.observing import Observed
from treadle.web.site import Site

EDGE = Edge(names=frozenset({"treadle.example"}), origins=frozenset({"https://treadle.example"}))
URL = "http://localhost:8006"
TOKEN = "a-token-that-only-the-tests-know-0123456789"


@pytest.fixture(scope="session")
def install() -> Iterator[Path]:
    """A data folder with a running, migrated database, shared by the tests of this process."""
    with running_install() as home:
        yield home


@dataclass(frozen=True, slots=True)
class Client:
    """Calls the application as whoever has the token."""

    http: httpx.AsyncClient
    site: Site
    app: Observed
    urls: DatabaseUrls

    async def get(self, path: str, **options: Any) -> Any:
        """The JSON of a successful GET."""
        answer = await self.http.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
        """The JSON of a POST that is answered with this status."""
        answer = await self.http.post(path, json=body, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def execute(self, document: dict[str, Any], *, wait: float = 30, status: int = 200, **inputs: Any) -> Any:
        """Save an agent and run it."""
        graph = (await self.post("/api/v2/builder/graphs", document, status=201))["id"]
        path = f"/api/v2/builder/graphs/{graph}/execute?wait={wait}"
        return await self.post(path, {"input_data": inputs}, status=status)

    async def ended(self, id: str) -> Any:
        """A run, once it is over."""
        await self.site.worker.finished(LOCAL_WORKSPACE, ExecutionId(UUID(id)))
        return await self.get(f"/api/v2/executions/{id}")


@pytest.fixture
async def client(install: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client with the token."""
    settings = isolated_settings(install, monkeypatch)
    async with running_platform(settings) as platform:
        site = site_of(platform, TOKEN, URL)
        app = make_app(site, EDGE)
        async with told_of_changes(platform, site), contextlib.AsyncExitStack() as stack:
            yield await _client(stack, site, app, platform.urls, {"Authorization": f"Bearer {TOKEN}"})


async def _client(
    stack: contextlib.AsyncExitStack, site: Site, app: Observed, urls: DatabaseUrls, headers: dict[str, str]
) -> Client:
    transport = httpx.ASGITransport(app)
    http = httpx.AsyncClient(transport=transport, base_url=URL, headers=headers)
    return Client(await stack.enter_async_context(http), site, app, urls)


@dataclass(frozen=True, slots=True)
class Someone:
    """A second person, with an account and a workspace of their own."""

    client: Client
    """Calls the application as this person, about the workspace of which they were made a member, if any."""
    signed_in: SignedIn

    @property
    def id(self) -> UserId:
        return UserId(self.signed_in.person.user.id)


MakeSomeone = Callable[..., Awaitable[Someone]]


@pytest.fixture
async def someone(client: Client) -> AsyncIterator[MakeSomeone]:
    """Makes people: ``await someone()`` is a stranger, ``await someone(Role.VIEWER)`` a member of the local workspace.

    ``workspace=`` names another workspace to be a member of; ``admin=True`` makes an administrator.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def make(
            role: Role | None = None, *, workspace: WorkspaceId = LOCAL_WORKSPACE, admin: bool = False
        ) -> Someone:
            signed_in = await sign_in_newcomer(client.site.sessions, role, workspace, admin=admin)
            headers = {"Authorization": f"Bearer {signed_in.access_token}"}
            if role is not None:
                headers["X-Workspace-Id"] = str(workspace)
            return Someone(await _client(stack, client.site, client.app, client.urls, headers), signed_in)

        yield make


async def sign_in_newcomer(sessions: Sessions, role: Role | None, workspace: WorkspaceId, *, admin: bool) -> SignedIn:
    email = f"{uuid4().hex}@people.test"
    async with sessions.storage.repository() as accounts:
        who = Newcomer("email", email, email, proven=True, confirmed_at=datetime.now(UTC), admin=admin)
        user = await register(accounts, who)
        if role is not None:
            accounts.add_member(workspace, UserId(user.id), role)
        begun = await sessions.begin(accounts, user, "password")
    return await sessions.given_out(begun)
