"""A client of the application on a running platform, without a socket between."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.conftest import isolated_settings
from tests.main.installs import running_install
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId
from treadle.main.site import site_of
from treadle.main.wiring import running_platform
from treadle.web.app import make_app
from treadle.web.edge import Edge
from treadle.web.observing import Observed
from treadle.web.site import Site

EDGE = Edge(names=frozenset({"treadle.example"}), origins=frozenset({"https://treadle.example"}))
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
        site = site_of(platform, TOKEN)
        app = make_app(site, EDGE)
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8006", headers=headers) as http:
            yield Client(http, site, app)
