"""How an agent is run is asked anew for every run, and those who ask at once share the answer."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE, GraphId, WorkspaceId, uuid7
from treadle.base.reading import WorkspaceReader
from treadle.features.graphs.runnable import Current
from treadle.features.library.current import CurrentAgents

GRAPH = GraphId("g")


async def _save(urls: DatabaseUrls, version: int, workspace: WorkspaceId = LOCAL_WORKSPACE) -> None:
    owner = await asyncpg.connect(urls.owner)
    await owner.execute(
        "INSERT INTO graphs (workspace_id, id, version, name, document, digest) VALUES ($1, $2, $3, 'g', '{}', '')",
        workspace,
        GRAPH,
        version,
    )
    await owner.execute(
        "INSERT INTO graph_heads (workspace_id, id, name, newest_version, active_version) VALUES ($1, $2, 'g', $3, $3)"
        " ON CONFLICT (workspace_id, id) DO UPDATE SET newest_version = $3, active_version = $3",
        workspace,
        GRAPH,
        version,
    )
    await owner.close()


@pytest.fixture
async def current(database: DatabaseUrls) -> AsyncIterator[CurrentAgents]:
    """On a fresh database."""
    reader = await WorkspaceReader.open(database.api)
    yield CurrentAgents(reader)
    reader.close()


async def test_the_version_that_is_active_when_somebody_asks_is_found(
    database: DatabaseUrls, current: CurrentAgents
) -> None:
    assert await current.of(LOCAL_WORKSPACE, GRAPH) is None
    for version in (1, 2, 5):
        await _save(database, version)
        found = await asyncio.gather(*(current.of(LOCAL_WORKSPACE, GRAPH) for _ in range(20)))
        assert found == [Current(version, {})] * 20
    found = await asyncio.gather(*(current.of(LOCAL_WORKSPACE, each) for each in (GRAPH, GraphId("none"))))
    assert found == [Current(5, {}), None]
    assert await current.of(WorkspaceId(uuid7()), GRAPH) is None
    owner = await asyncpg.connect(database.owner)
    await owner.execute("UPDATE graph_heads SET active_version = 2")
    assert await current.of(LOCAL_WORKSPACE, GRAPH) == Current(2, {})
    await owner.execute("UPDATE library_agents SET pinned_version = 1, settings = '{\"safe_mode\": false}'")
    assert await current.of(LOCAL_WORKSPACE, GRAPH) == Current(1, {"safe_mode": False})
    await owner.execute("UPDATE graph_heads SET deleted_at = now()")
    await owner.close()
    assert await current.of(LOCAL_WORKSPACE, GRAPH) is None


async def test_who_is_cut_off_takes_nobody_along(database: DatabaseUrls, current: CurrentAgents) -> None:
    await _save(database, 1)
    waiting = [asyncio.create_task(current.of(LOCAL_WORKSPACE, GRAPH)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    assert await asyncio.gather(*(waiting[place] for place in (0, 2))) == [Current(1, {})] * 2
    assert await current.of(LOCAL_WORKSPACE, GRAPH) == Current(1, {})


async def test_a_failure_is_told_to_all_who_asked_and_is_over_then(
    database: DatabaseUrls, current: CurrentAgents
) -> None:
    await _save(database, 1)
    owner = await asyncpg.connect(database.owner)
    await owner.execute("REVOKE SELECT ON library_agents FROM treadle_api")
    failed = await asyncio.gather(*(current.of(LOCAL_WORKSPACE, GRAPH) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(each, asyncpg.InsufficientPrivilegeError) for each in failed)
    await owner.execute("GRANT SELECT ON library_agents TO treadle_api")
    await owner.close()
    assert await current.of(LOCAL_WORKSPACE, GRAPH) == Current(1, {})
