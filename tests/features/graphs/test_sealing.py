"""Agents that an early release saved with their secrets in the open are encrypted at the start."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.features.credentials.test_seals import file_ring, seals_of
from tests.features.graphs.samples import CHILD, INPUT, REGISTRY, agent, node
from treadle.base.database import DatabaseUrls, create_pool
from treadle.base.ids import LOCAL_WORKSPACE, GraphId, WorkspaceId, uuid7
from treadle.base.sessions import WorkspaceDatabase
from treadle.engine.bell import PostgresBell
from treadle.engine.blobs import LocalBlobs
from treadle.engine.secrets import is_sealed, opened
from treadle.engine.store import Store
from treadle.features.credentials.seals import KeySeals
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.sealing import seal_earlier_versions
from treadle.features.graphs.service import Graphs
from treadle.features.graphs.storage import GraphStorage
from treadle.kernel.plan import Plan, decode_plan

CANARY = "canary-2b77e0"
STORED = "SELECT string_agg(document::text, ' ') || string_agg(convert_from(p.body, 'UTF8'), ' ') FROM graphs, plans p"
UNSEALED = "SELECT count(*) FROM graphs WHERE NOT sealed"


class DyingStore(Store):
    """A store of a process that is killed once the plans are changed, before the versions are."""

    async def change_plans(self, workspace: WorkspaceId, change: Callable[[Plan], Plan]) -> None:
        await super().change_plans(workspace, change)
        raise ConnectionError("killed")


@dataclass
class World:
    """An install that has an old release's agents."""

    urls: DatabaseUrls
    pool: asyncpg.Pool
    owner: asyncpg.Connection
    database: WorkspaceDatabase
    store: Store
    seals: KeySeals

    @property
    def early(self) -> Graphs:
        """Saves as the early release did."""
        return Graphs(GraphStorage(self.database), self.store, REGISTRY)

    @property
    def graphs(self) -> Graphs:
        return Graphs(GraphStorage(self.database), self.store, REGISTRY, self.seals)

    async def saved_early(self, *agents: AgentFile, workspace: WorkspaceId = LOCAL_WORKSPACE) -> None:
        graphs = self.early
        for each in agents:
            row = await graphs.save(workspace, each)
            await graphs.compiled(workspace, GraphId(row.id))
        await self.owner.execute("UPDATE graphs SET sealed = false")

    async def seal(self, **options: Any) -> int:
        return await seal_earlier_versions(self.pool, self.graphs, **options)


@pytest.fixture
async def world(database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[World]:
    sessions = WorkspaceDatabase(database.api)
    pool = await create_pool(database.engine, min_size=0, max_size=4)
    owner = await asyncpg.connect(database.owner)
    store = Store(pool, PostgresBell(pool), LocalBlobs(tmp_path))
    yield World(database, pool, owner, sessions, store, await seals_of(database, file_ring(tmp_path)))
    await owner.close()
    await sessions.close()
    await pool.close()


def secretive(name: str = "Agent", *, id: str = "main") -> AgentFile:
    """An agent with a secret at every sort of place, and a sub-agent whose input is secret."""
    below = agent([node("in", INPUT, name="key", secret=True, value=CANARY)], id="below", name="Below")
    child = node("child", CHILD, graph_id="below", graph_version=1, inputs={"key": CANARY, "plain": "kept"})
    text = node("text", "text", text="kept", api_key=CANARY, values={"X-Api-Key": CANARY, "plain": 1})
    child["policy"] = {"on_error": "fallback", "fallback": {"password": CANARY}}
    made = agent([text, child], id=id, name=name)
    return made.model_copy(update={"sub_graphs": [below]})


async def test_what_stands_in_the_open_is_encrypted_and_nothing_else_changes(world: World) -> None:
    await world.saved_early(secretive(), secretive("Renamed"), agent([node("a", "text", text="kept")], id="harmless"))
    before = {(row["id"], row["version"]): row for row in await world.owner.fetch("SELECT * FROM graphs")}
    assert CANARY in await world.owner.fetchval(STORED)
    digests = await world.owner.fetch("SELECT digest FROM plans ORDER BY digest")
    assert await world.seal() == 3, "both versions of the agent, and its sub-agent"
    assert CANARY not in await world.owner.fetchval(STORED)
    assert await world.owner.fetchval(UNSEALED) == 0
    assert await world.owner.fetch("SELECT digest FROM plans ORDER BY digest") == digests
    after = {(row["id"], row["version"]): row for row in await world.owner.fetch("SELECT * FROM graphs")}
    assert after.keys() == before.keys()
    assert after["harmless", 1]["digest"] == before["harmless", 1]["digest"]
    part, plan = await world.graphs.compiled_part(LOCAL_WORKSPACE, GraphId("main"), 1)
    constants: dict[str, Any] = part.nodes[0].input_default
    assert constants["text"] == "kept" and constants["values"]["plain"] == 1 and is_sealed(constants["api_key"])
    fresh = opened(plan.nodes[0].constants, world.seals, LOCAL_WORKSPACE)
    assert (fresh["api_key"], fresh["values"]["X-Api-Key"]) == (CANARY, CANARY)
    assert await world.seal() == 0


async def test_plans_of_runs_open_to_the_same_values(world: World) -> None:
    await world.saved_early(secretive())
    old = {row["digest"]: decode_plan(row["body"]) for row in await world.owner.fetch("SELECT * FROM plans")}
    await world.seal()
    for row in await world.owner.fetch("SELECT * FROM plans"):
        plan = decode_plan(row["body"])
        assert is_sealed([node.constants for node in plan.nodes])
        for then, now in zip(old[row["digest"]].nodes, plan.nodes, strict=True):
            assert opened(now.constants, world.seals, LOCAL_WORKSPACE) == then.constants
            assert list(now.constants) == list(then.constants), "blocks see the order"
            assert opened(now.policy.fallback, world.seals, LOCAL_WORKSPACE) == then.policy.fallback


async def test_an_agent_that_is_saved_again_as_it_was_has_not_changed(world: World) -> None:
    await world.saved_early(secretive())
    await world.seal()
    assert (await world.graphs.save(LOCAL_WORKSPACE, secretive())).version == 1
    assert await world.owner.fetchval("SELECT count(*) FROM graphs") == 2


async def test_what_is_saved_now_is_not_looked_at_again(world: World) -> None:
    await world.graphs.save(LOCAL_WORKSPACE, secretive())
    assert await world.owner.fetchval(UNSEALED) == 0


async def test_a_kill_between_plans_and_versions_loses_nothing(world: World, tmp_path: Path) -> None:
    await world.saved_early(secretive())
    dying = DyingStore(world.pool, PostgresBell(world.pool), LocalBlobs(tmp_path))
    graphs = Graphs(GraphStorage(world.database), dying, REGISTRY, world.seals)
    with pytest.raises(ConnectionError):
        await seal_earlier_versions(world.pool, graphs)
    assert await world.owner.fetchval(UNSEALED) == 2
    assert await world.seal() == 2
    assert CANARY not in await world.owner.fetchval(STORED)


async def test_every_batch_and_every_workspace_is_reached_by_however_many_processes(world: World) -> None:
    other = WorkspaceId(uuid7())
    await world.owner.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'Another')", other)
    for workspace in (LOCAL_WORKSPACE, other):
        agents = [agent([node("a", "text", text="", api_key=CANARY)], id=f"g{number}") for number in range(7)]
        await world.saved_early(*agents, workspace=workspace)
    assert sum(await asyncio.gather(*(world.seal(batch=2) for _ in range(3)))) == 14
    assert CANARY not in await world.owner.fetchval(STORED)


async def test_a_version_that_cannot_be_read_keeps_nobody_from_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    agents = [agent([node("a", "text", text="", api_key=CANARY)], id=each) for each in ("a", "b", "c")]
    await world.saved_early(*agents)
    await world.owner.execute("UPDATE graphs SET document = '{\"nodes\": 3}' WHERE id = 'b'")
    with caplog.at_level(logging.WARNING):
        assert await world.seal(batch=1) == 2
    assert "a saved agent cannot be read" in caplog.text
    assert await world.owner.fetchval(UNSEALED) == 1
