"""Searching by words and by meaning: what is found, in which order, and whose."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.features.graphs.samples import REGISTRY, agent, node
from tests.features.search.embedding import ThingEmbedder
from treadle.base.database import SET_WORKSPACE, DatabaseUrls, create_pool
from treadle.base.ids import LOCAL_WORKSPACE, GraphId, UserId, WorkspaceId, uuid7
from treadle.base.reading import WorkspaceReader
from treadle.base.sessions import WorkspaceDatabase
from treadle.engine.bell import PostgresBell
from treadle.engine.blobs import LocalBlobs
from treadle.engine.store import Store
from treadle.features.graphs.service import Graphs
from treadle.features.graphs.storage import GraphStorage
from treadle.features.search import backlog
from treadle.features.search.embedders import AT_ONCE
from treadle.features.search.repository import Texts
from treadle.features.search.service import RECENT_KEPT, FoundKind, Results, Search
from treadle.features.search.texts import block_texts

HERE = LOCAL_WORKSPACE
ANN, BOB = UserId(UUID(int=1)), UserId(UUID(int=2))


@dataclass(frozen=True)
class World:
    search: Search
    graphs: Graphs
    embedder: ThingEmbedder
    pool: asyncpg.Pool
    reader: WorkspaceReader
    other: WorkspaceId
    urls: DatabaseUrls

    async def save(self, id: str, name: str, description: str = "", workspace: WorkspaceId = HERE) -> None:
        document = agent([node("a", "text", text="x")], id=id, name=name, description=description)
        await self.graphs.save(workspace, document)

    async def agents(self, text: str, workspace: WorkspaceId = HERE) -> list[str]:
        return [each.id for each in (await self.search.find(workspace, text, [FoundKind.AGENT])).items]

    async def blocks(self, text: str) -> list[str]:
        return [each.id for each in (await self.search.find(HERE, text, [FoundKind.BLOCK])).items]


@pytest.fixture
async def world(database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[World]:
    other = WorkspaceId(uuid7())
    owner = await asyncpg.connect(database.owner)
    await owner.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'Another')", other)
    await owner.close()
    sessions = WorkspaceDatabase(database.api)
    reader = await WorkspaceReader.open(database.api)
    pool = await create_pool(database.engine, min_size=0, max_size=4)
    graphs = Graphs(GraphStorage(sessions), Store(pool, PostgresBell(pool), LocalBlobs(tmp_path)), REGISTRY)
    embedder = ThingEmbedder()
    yield World(Search(reader, Texts(pool), REGISTRY, embedder), graphs, embedder, pool, reader, other, database)
    await sessions.close()
    reader.close()
    await pool.close()


# ---- what is found ------------------------------------------------------------------------------------------------


async def test_meaning_finds_what_no_word_finds_and_words_what_has_no_vector_yet(world: World) -> None:
    await world.save("1", "Kitten finder")
    await world.save("2", "Invoice writer", "Writes a bill for each customer.")
    assert await world.agents("cat") == [], "no word fits, and nothing has a vector yet"
    assert await world.agents("invoice") == ["2"], "words find at once what was saved"
    assert await world.search.backlog.work_off() > 0
    assert await world.agents("cat") == ["1"]
    assert await world.agents("payment") == ["2"]
    assert await world.agents("weather") == []


async def test_what_words_and_meaning_both_know_comes_first(world: World) -> None:
    await world.save("meaning", "Letter sorter")
    await world.save("words", "Weather", "It knows no mail.")
    await world.save("both", "Mail for you")
    await world.search.backlog.work_off()
    found = await world.agents("mail")
    assert found[0] == "both"
    assert set(found) == {"both", "words", "meaning"}


async def test_words_are_found_by_their_beginnings_their_stems_and_with_a_slip(world: World) -> None:
    await world.save("1", "Newsletter sender", "Collects headlines every morning.")
    for text in ("news", "collecting headline", "newsleter", "NEWSLETTER!", "send a newsletter to all my customers"):
        assert await world.agents(text) == ["1"], text
    for text in ("", "  ", "!?", "'", "\\", "& | !", ":*"):
        assert await world.agents(text) == [], text


async def test_blocks_are_found_but_those_that_are_switched_off(world: World) -> None:
    assert (await world.blocks("send mail"))[0] == "mail"
    assert "mailbox" in await world.blocks("read mail")
    assert await world.blocks("off") == []
    assert (await world.pool.fetchval("SELECT count(*) FROM block_texts")) == len(block_texts(REGISTRY))


async def test_blocks_and_agents_are_one_list(world: World) -> None:
    await world.save("1", "Mail for you")
    await world.search.backlog.work_off()
    found = await world.search.find(HERE, "mail")
    assert {each.kind for each in found.items} == {FoundKind.BLOCK, FoundKind.AGENT}
    points = [each.points for each in found.items]
    assert points == sorted(points, reverse=True)
    assert found.by_meaning


async def test_a_deleted_agent_is_not_found_and_a_renamed_one_by_its_new_name(world: World) -> None:
    await world.save("1", "Kitten finder")
    await world.save("1", "Umbrella", "It tells of rain.")
    await world.search.backlog.work_off()
    assert await world.agents("cat") == []
    assert await world.agents("sun") == ["1"]
    await world.graphs.delete(HERE, GraphId("1"))
    assert await world.agents("umbrella sun") == []


# ---- whose --------------------------------------------------------------------------------------------------------


async def test_identical_texts_of_two_workspaces_stay_apart(world: World) -> None:
    for workspace in (HERE, world.other):
        await world.save("same", "Kitten finder", "Finds a pet.", workspace)
    await world.save("theirs", "Another kitten", "", world.other)
    await world.search.backlog.work_off()
    for text in ("cat", "kitten", "pet finder"):
        assert await world.agents(text) == ["same"]
        assert set(await world.agents(text, world.other)) == {"same", "theirs"}
    nobody = WorkspaceId(uuid7())
    assert await world.agents("cat", nobody) == []


async def test_the_vector_query_itself_looks_at_no_other_workspace(world: World) -> None:
    """Without row-level security too: the engine's role, which is above it, gets the asker's rows only."""
    for workspace in (HERE, world.other):
        await world.save("same", "Kitten finder", "", workspace)
    await world.search.backlog.work_off()
    above = _Above(world.pool)
    unguarded = Search(above, Texts(world.pool), REGISTRY, world.embedder)  # type: ignore[arg-type]
    await world.graphs.delete(HERE, GraphId("same"))
    assert (await unguarded.find(HERE, "cat", [FoundKind.AGENT])).items == []
    assert [each.id for each in (await unguarded.find(world.other, "cat", [FoundKind.AGENT])).items] == ["same"]


class _Above:
    """Reads as the engine's role, which sees every row."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def fetch(self, workspace: WorkspaceId, query: str, *values: Any) -> list[asyncpg.Record]:
        return list(await self._pool.fetch(query, *values))


async def test_the_database_keeps_texts_and_searches_apart_too(world: World) -> None:
    await world.save("1", "Kitten finder")
    await world.search.remember(HERE, ANN, "kittens")
    api = await asyncpg.connect(world.urls.api)
    for table in ("graph_texts", "recent_searches"):
        assert await api.fetchval(f"SELECT count(*) FROM {table}") == 0
        async with api.transaction():
            await api.execute(SET_WORKSPACE, str(world.other))
            assert await api.fetchval(f"SELECT count(*) FROM {table}") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute("UPDATE block_texts SET title = 'mine'")
    await api.close()


# ---- when the model does not answer -------------------------------------------------------------------------------


async def test_a_model_that_is_slow_or_broken_leaves_the_search_by_words(world: World) -> None:
    await world.save("1", "Kitten finder")
    await world.search.backlog.work_off()
    hasty = Search(world.reader, Texts(world.pool), REGISTRY, world.embedder, wait_seconds=0.01)
    world.embedder.works.clear()
    found = await hasty.find(HERE, "kitten pet", [FoundKind.AGENT])
    assert ([each.id for each in found.items], found.by_meaning) == (["1"], False)
    world.embedder.broken = True
    world.embedder.works.set()
    assert (await world.search.find(HERE, "cat")).by_meaning is False
    world.embedder.broken = False
    assert (await world.search.find(HERE, "cat", [FoundKind.AGENT])).by_meaning, "it is asked again"


async def test_a_search_is_embedded_once(world: World) -> None:
    for _ in range(3):
        await world.search.find(HERE, "cat")
    assert world.embedder.asked.count("cat") == 1
    assert await world.search.find(HERE, "...") == Results()


# ---- the backlog --------------------------------------------------------------------------------------------------


async def waiting(world: World) -> int:
    return int(await world.pool.fetchval("SELECT count(*) FROM graph_texts WHERE embedding IS NULL"))


async def test_what_waits_survives_a_broken_model_and_another_process_takes_it_up(world: World) -> None:
    for number in range(AT_ONCE + 3):
        await world.save(str(number), f"Kitten {number}")
    world.embedder.broken = True
    assert await world.search.backlog.work_off() == 0
    assert await waiting(world) == AT_ONCE + 3
    world.embedder.broken = False
    await world.pool.execute("UPDATE graph_texts SET due_at = now()")
    await world.pool.execute("UPDATE block_texts SET due_at = now()")
    another = Search(world.reader, Texts(world.pool), REGISTRY, ThingEmbedder())
    done = await asyncio.gather(world.search.backlog.work_off(), another.backlog.work_off())
    assert sum(done) == AT_ONCE + 3 + len(block_texts(REGISTRY)), "nothing twice"
    assert await waiting(world) == 0


async def until(world: World, condition: str) -> None:
    """Wait until that is so in the database."""
    while not await world.pool.fetchval(f"SELECT {condition}"):  # noqa: ASYNC110 (the database rings no bell)
        await asyncio.sleep(0.005)


async def test_a_text_that_changes_while_it_is_embedded_waits_again(world: World) -> None:
    await world.save("1", "Kitten")
    await world.search.backlog.work_off()
    await world.pool.execute("UPDATE graph_texts SET embedding = NULL, due_at = now()")
    world.embedder.works.clear()
    working = asyncio.create_task(world.search.backlog.work_off())
    await until(world, "EXISTS (SELECT 1 FROM graph_texts WHERE due_at > now())")
    await world.save("1", "Umbrella", "rain")
    world.embedder.works.set()
    await working
    assert await waiting(world) == 0, "the new text was due at once"
    assert await world.agents("sun") == ["1"]
    assert await world.agents("cat") == []


async def test_a_text_that_says_what_it_said_keeps_its_vector(world: World) -> None:
    await world.save("1", "Kitten")
    await world.search.backlog.work_off()
    document = agent([node("a", "text", text="another")], id="1", name="Kitten")
    assert (await world.graphs.save(HERE, document)).version == 2
    assert await waiting(world) == 0


async def test_another_model_makes_its_own_vectors(world: World) -> None:
    await world.save("1", "Kitten")
    await world.search.backlog.work_off()
    newer = Search(world.reader, Texts(world.pool), REGISTRY, ThingEmbedder("things, second edition"))
    assert (await newer.find(HERE, "cat", [FoundKind.AGENT])).items == []
    assert await newer.backlog.work_off() == 1 + len(block_texts(REGISTRY))
    assert [each.id for each in (await newer.find(HERE, "cat", [FoundKind.AGENT])).items] == ["1"]


async def test_the_backlog_works_when_it_is_hinted_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "SETTLE_SECONDS", 0.0)
    await world.save("1", "Kitten")
    running = asyncio.create_task(world.search.backlog.run())
    world.search.backlog.hint()
    await until(world, "NOT EXISTS (SELECT 1 FROM graph_texts WHERE embedding IS NULL)")
    running.cancel()
    assert await world.agents("cat") == ["1"]


# ---- what people have searched for, and use ----------------------------------------------------------------------


async def test_searches_are_remembered_for_each_person_and_forgotten_on_request(world: World) -> None:
    first = await world.search.remember(HERE, ANN, "kit")
    assert await world.search.remember(HERE, ANN, "kitten", first) == first
    stolen = await world.search.remember(HERE, BOB, "mine", first)
    assert stolen != first
    for text in ("mail", "Kitten"):
        await world.search.remember(HERE, ANN, text)
    assert [each.query for each in await world.search.recent(HERE, ANN)] == ["Kitten", "mail"]
    assert [each.query for each in await world.search.recent(HERE, BOB)] == ["mine"]
    assert await world.search.recent(world.other, ANN) == []
    for number in range(RECENT_KEPT + 5):
        await world.search.remember(HERE, ANN, str(number))
    assert await world.pool.fetchval("SELECT count(*) FROM graph_texts") == 0
    assert len(await world.search.recent(HERE, ANN, 100)) == RECENT_KEPT
    await world.search.forget(HERE, ANN)
    assert await world.search.recent(HERE, ANN) == []
    assert len(await world.search.recent(HERE, BOB)) == 1


async def test_the_most_used_blocks_are_those_of_runs_then_those_of_agents(world: World) -> None:
    assert await world.search.most_used(HERE, 5) == []
    await world.graphs.save(HERE, agent([node("a", "mail", to="x"), node("b", "text", text="x")], id="1"))
    await world.graphs.save(HERE, agent([node("a", "text", text="x")], id="2"))
    assert await world.search.most_used(HERE, 5) == ["text", "mail"]
    runs = (("1", 3), ("block:store", 1), ("unknown", 1))
    for graph, times in runs:
        for _ in range(times):
            await world.pool.execute(
                "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status,"
                " format) VALUES ($1, $1, $2, $3, 1, '', 'COMPLETED', 1)",
                *(uuid7(), HERE, graph),
            )
    assert await world.search.most_used(HERE, 5) == ["mail", "text", "store"]
    assert await world.search.most_used(world.other, 5) == []
    await world.pool.execute("UPDATE executions SET created_at = now() - interval '31 days' WHERE graph_id = '1'")
    assert await world.search.most_used(HERE, 5) == ["store"]
