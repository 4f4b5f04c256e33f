"""Graphs in the database: versions, the active one, edits by several people, deletion, and workspaces apart."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError

from tests.features.graphs.samples import CHILD, INPUT, OUTPUT, REGISTRY, agent, link, node
from treadle.base.database import DatabaseUrls, create_pool
from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, GraphId, UserId, WorkspaceId, uuid7
from treadle.base.paging import Page
from treadle.base.sessions import WorkspaceDatabase
from treadle.engine.bell import PostgresBell
from treadle.engine.blobs import LocalBlobs
from treadle.engine.store import Store
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.importer import FOR_EACH
from treadle.features.graphs.listing import GraphQuery, GraphSort
from treadle.features.graphs.secret_values import shown
from treadle.features.graphs.service import GraphChanged, GraphInUse, Graphs, InvalidAgent, SaveTerms
from treadle.features.graphs.storage import GraphStorage

ANN, BOB = UserId(UUID(int=1)), UserId(UUID(int=2))
HERE = LOCAL_WORKSPACE
MAIN, BELOW = GraphId("main"), GraphId("below")


@dataclass(frozen=True)
class World:
    graphs: Graphs
    other: WorkspaceId
    urls: DatabaseUrls
    database: WorkspaceDatabase
    store: Store

    def again(self) -> Graphs:
        """What another process sees."""
        return Graphs(GraphStorage(self.database), self.store, REGISTRY)


@pytest.fixture
async def world(database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[World]:
    other = WorkspaceId(uuid7())
    owner = await asyncpg.connect(database.owner)
    await owner.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'Another')", other)
    await owner.close()
    sessions = WorkspaceDatabase(database.api)
    pool = await create_pool(database.engine, min_size=0, max_size=2)
    store = Store(pool, PostgresBell(pool), LocalBlobs(tmp_path))
    yield World(Graphs(GraphStorage(sessions), store, REGISTRY), other, database, sessions, store)
    await sessions.close()
    await pool.close()


def greeting(text: str, **keys: Any) -> AgentFile:
    return agent([node("a", "text", text=text)], **keys)


def parent(version: int | None = 1, **below: Any) -> AgentFile:
    """An agent that runs another."""
    constants = {} if version is None else {"graph_version": version}
    child = {"id": "below", "name": "Below", "nodes": [node("b", "text", text="Hello")], **below}
    return agent([node("c", CHILD, graph_id="below", **constants)], sub_graphs=[child], name="Parent")


# ---- versions -----------------------------------------------------------------------------------------------------


async def test_each_save_makes_a_version_that_says_who_and_what(world: World) -> None:
    first = await world.graphs.save(HERE, greeting("Hello"), SaveTerms(ANN, "first words"))
    second = await world.graphs.save(HERE, greeting("Bye", name="Farewell"), SaveTerms(BOB))
    assert [(row.version, row.created_by, row.note) for row in (first, second)] == [
        (1, ANN, "first words"),
        (2, BOB, ""),
    ]
    head, rows, total = await world.graphs.versions(HERE, MAIN, Page(1, 1))
    assert (total, [row.version for row in rows]) == (2, [2])
    assert (head.name, head.newest_version, head.active_version, head.created_by) == ("Farewell", 2, 2, ANN)
    assert head.updated_at >= second.created_at
    again = await world.graphs.save(HERE, greeting("Bye", name="Farewell"), SaveTerms(ANN))
    assert (again.version, again.created_by) == (2, BOB)
    described, row = await world.graphs.describe(HERE, MAIN, 1, "the very first")
    assert (described.id, row.note, row.document) == ("main", "the very first", first.document)


async def test_history_has_no_end(world: World) -> None:
    for number in range(120):
        await world.graphs.save(HERE, greeting(str(number)))
    _, rows, total = await world.graphs.versions(HERE, MAIN, Page(2, 100))
    assert (total, [row.version for row in rows]) == (120, list(range(20, 0, -1)))


async def test_the_active_version_is_meant_wherever_none_is_named(world: World) -> None:
    for text in ("one", "two", "three"):
        await world.graphs.save(HERE, greeting(text), SaveTerms(activate=text != "three"))
    assert (await world.graphs.get(HERE, MAIN)).version == 2
    await world.graphs.activate(HERE, MAIN, 1)
    assert (await world.graphs.get(HERE, MAIN)).version == 1
    assert (await world.graphs.agent(HERE, MAIN)).version == 1
    for graphs in (world.graphs, world.again()):
        assert (await graphs.compiled(HERE, MAIN)).graph_version == 1
        plan, _ = await graphs.prepare(HERE, MAIN, None, {})
        assert plan.nodes[0].constants == {"text": "one"}
    await world.again().activate(HERE, MAIN, 3)
    assert (await world.graphs.prepare(HERE, MAIN, None, {}))[0].graph_version == 3
    for missing in (0, 4):
        with pytest.raises(NotFound, match=f"version {missing}"):
            await world.graphs.activate(HERE, MAIN, missing)
    assert (await world.graphs.head(HERE, MAIN)).active_version == 3


async def test_the_database_knows_only_versions_that_exist(world: World) -> None:
    await world.graphs.save(HERE, greeting("one"))
    async with world.database.transaction(HERE) as session:
        connection = await session.connection()
        with pytest.raises(IntegrityError):
            await connection.exec_driver_sql("UPDATE graph_heads SET active_version = 7, newest_version = 7")


# ---- edits --------------------------------------------------------------------------------------------------------


async def test_an_edit_on_an_old_base_is_refused_and_says_why(world: World) -> None:
    for text in ("one", "two"):
        await world.graphs.save(HERE, greeting(text))
    with pytest.raises(GraphChanged) as refused:
        await world.graphs.replace(HERE, MAIN, greeting("mine"), SaveTerms(base=1))
    assert "based on version 1" in refused.value.message
    assert "a version 2" in refused.value.message
    assert refused.value.newest == 2
    saved = await world.graphs.replace(HERE, MAIN, greeting("mine"), SaveTerms(base=2))
    assert saved.version == 3
    repeated = await world.graphs.replace(HERE, MAIN, greeting("mine"), SaveTerms(base=2))
    assert repeated.version == 3, "a request that was sent twice changes nothing"


async def test_of_edits_at_once_on_one_base_one_wins(world: World) -> None:
    await world.graphs.save(HERE, greeting("one"))
    edits = [world.graphs.replace(HERE, MAIN, greeting(f"edit {number}"), SaveTerms(base=1)) for number in range(5)]
    done = await asyncio.gather(*edits, return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["GraphChanged"] * 4 + ["GraphVersion"]
    assert (await world.graphs.head(HERE, MAIN)).newest_version == 2


async def test_an_edit_takes_the_id_of_what_it_edits(world: World) -> None:
    await world.graphs.save(HERE, greeting("one"))
    saved = await world.graphs.replace(HERE, MAIN, greeting("two", id="somewhere-else"))
    assert (saved.id, saved.version) == ("main", 2)
    with pytest.raises(NotFound):
        await world.graphs.replace(HERE, GraphId("nowhere"), greeting("two"))
    with pytest.raises(InvalidAgent):
        await world.graphs.replace(HERE, MAIN, agent([node("a", "text"), node("a", "text")]))


async def test_secrets_survive_an_edit_of_what_was_shown(world: World) -> None:
    keyed = agent([node("a", "text", text="Hello", api_key="sk-canary")])
    await world.graphs.save(HERE, keyed)
    seen = shown(await world.graphs.agent(HERE, MAIN), REGISTRY)
    assert "sk-canary" not in seen.model_dump_json()
    assert (await world.graphs.replace(HERE, MAIN, seen)).version == 1, "nothing has changed"
    await world.graphs.replace(HERE, MAIN, agent([node("a", "text", text="Hello", api_key="sk-another")]))
    seen.nodes[0].input_default["text"] = "Bye"
    row = await world.graphs.replace(HERE, MAIN, seen)
    assert row.document["nodes"][0]["input_default"] == {"text": "Bye", "api_key": "sk-canary"}, "that of version 1"
    del seen.nodes[0].input_default["api_key"]
    row = await world.graphs.replace(HERE, MAIN, seen)
    assert row.document["nodes"][0]["input_default"] == {"text": "Bye"}


async def test_a_difference_of_two_versions(world: World) -> None:
    await world.graphs.save(HERE, agent([node("a", "text", text="one", api_key="sk-canary")]))
    await world.graphs.save(HERE, agent([node("a", "text", text="two", api_key="sk-canary-2")]))
    before, after, change = await world.graphs.difference(HERE, MAIN, 1, None)
    assert (before, after) == (1, 2)
    assert "canary" not in repr(change)
    assert [each.path[-1] for each in change.nodes.changed[0].fields] == ["text", "api_key"]
    assert not (await world.graphs.difference(HERE, MAIN, 2, 2))[2]
    with pytest.raises(NotFound):
        await world.graphs.difference(HERE, MAIN, 1, 9)


# ---- sub-agents ---------------------------------------------------------------------------------------------------


async def test_a_parent_keeps_the_version_of_its_sub_agent_when_it_is_edited(world: World) -> None:
    await world.graphs.save(HERE, parent())
    await world.graphs.save(HERE, agent([node("b", "text", text="Newer")], id="below", name="Below"))
    seen = await world.graphs.agent(HERE, MAIN)
    assert [(part.id, part.version) for part in seen.sub_graphs] == [("below", 1)]
    row = await world.graphs.replace(HERE, MAIN, seen.model_copy(update={"name": "Renamed"}))
    assert (row.version, row.document["nodes"][0]["input_default"]["graph_version"]) == (2, 1)
    head = await world.graphs.head(HERE, BELOW)
    assert (head.newest_version, head.active_version) == (2, 2), "editing the parent does not turn back its sub-agent"


async def test_two_versions_of_one_sub_agent_stay_two(world: World) -> None:
    for text in ("old", "new"):
        await world.graphs.save(HERE, agent([node("b", "text", text=text)], id="below", name="Below"))
    both = agent([node(f"c{number}", CHILD, graph_id="below", graph_version=number) for number in (1, 2)])
    await world.graphs.save(HERE, both)
    seen = await world.graphs.agent(HERE, MAIN)
    assert sorted(part.version for part in seen.sub_graphs) == [1, 2]
    row = await world.graphs.replace(HERE, MAIN, seen.model_copy(update={"name": "Renamed"}))
    assert [each["input_default"]["graph_version"] for each in row.document["nodes"]] == [1, 2]
    assert (await world.graphs.head(HERE, BELOW)).newest_version == 2


async def test_a_sub_agent_without_a_version_is_the_active_one(world: World) -> None:
    for text in ("old", "new"):
        await world.graphs.save(HERE, agent([node("b", "text", text=text)], id="below", name="Below"))
    loop = agent([node("c", FOR_EACH, graph_id="below")])
    await world.graphs.save(HERE, loop)
    assert [part.version for part in (await world.graphs.agent(HERE, MAIN)).sub_graphs] == [2]
    await world.graphs.activate(HERE, BELOW, 1)
    seen = await world.graphs.agent(HERE, MAIN)
    assert [part.version for part in seen.sub_graphs] == [1]
    assert (await world.graphs.replace(HERE, MAIN, seen)).version == 1
    assert (await world.graphs.prepare(HERE, BELOW, None, {}))[0].nodes[0].constants == {"text": "old"}


async def test_a_file_without_its_sub_agents_is_completed_with_those_that_are_there(world: World) -> None:
    await world.graphs.save(HERE, parent())
    alone = agent(
        [node("c", CHILD, graph_id="below", graph_version=1), node("d", CHILD, graph_id="x", graph_version=1)]
    )
    assert [part.id for part in (await world.graphs.completed(HERE, alone)).sub_graphs] == ["below"]
    assert (await world.graphs.completed(world.other, alone)).sub_graphs == []


# ---- deletion -----------------------------------------------------------------------------------------------------


async def test_a_deleted_graph_is_not_found_and_comes_back_with_its_history(world: World) -> None:
    for text in ("one", "two"):
        await world.graphs.save(HERE, greeting(text))
    await world.graphs.prepare(HERE, MAIN, 1, {})
    await world.graphs.delete(HERE, MAIN)
    for attempt in (
        world.graphs.get(HERE, MAIN),
        world.graphs.get(HERE, MAIN, 1),
        world.graphs.head(HERE, MAIN),
        world.graphs.versions(HERE, MAIN, Page()),
        world.graphs.prepare(HERE, MAIN, 1, {}),
        world.graphs.prepare(HERE, MAIN, None, {}),
        world.graphs.activate(HERE, MAIN, 1),
        world.graphs.delete(HERE, MAIN),
        world.graphs.replace(HERE, MAIN, greeting("three")),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await world.graphs.page(HERE, GraphQuery()))[1] == 0
    assert await world.graphs.names(HERE, ["main", "x"]) == {"main": "Agent"}
    assert (await world.graphs.save(HERE, greeting("two"))).version == 2
    assert (await world.graphs.head(HERE, MAIN)).active_version == 2
    await world.graphs.delete(HERE, MAIN)
    assert (await world.graphs.save(HERE, greeting("three"))).version == 3
    assert (await world.graphs.versions(HERE, MAIN, Page()))[2] == 3


async def test_a_sub_agent_in_use_is_not_deleted_unless_forced(world: World) -> None:
    await world.graphs.save(HERE, parent())
    with pytest.raises(GraphInUse, match="Parent") as refused:
        await world.graphs.delete(HERE, BELOW)
    assert refused.value.users == {"main": "Parent"}
    await world.graphs.delete(HERE, BELOW, force=True)
    with pytest.raises(NotFound, match="below"):
        await world.graphs.agent(HERE, MAIN)
    assert (await world.graphs.agent(HERE, MAIN, partial=True)).sub_graphs == []


async def test_old_versions_and_deleted_parents_do_not_count_as_users(world: World) -> None:
    await world.graphs.save(HERE, parent())
    await world.graphs.save(HERE, greeting("alone"), SaveTerms(activate=False))
    with pytest.raises(GraphInUse):
        await world.graphs.delete(HERE, BELOW)
    await world.graphs.activate(HERE, MAIN, 2)
    await world.graphs.delete(HERE, BELOW)
    await world.graphs.save(HERE, parent())
    await world.graphs.delete(HERE, MAIN)
    await world.graphs.delete(HERE, BELOW)


# ---- lists --------------------------------------------------------------------------------------------------------


async def test_graphs_are_listed_searched_sorted_and_paged(world: World) -> None:
    for id, name, description in (
        ("1", "beta 100%", ""),
        ("2", "Alpha", "greets people"),
        ("3", "gamma", "greets BETA"),
    ):
        await world.graphs.save(HERE, greeting(id, id=id, name=name, description=description))
    await world.graphs.save(HERE, greeting("again", id="1", name="beta 100%"))

    async def listed(search: str = "", sort: GraphSort = GraphSort.UPDATED, page: Page | None = None) -> list[str]:
        heads, total = await world.graphs.page(HERE, GraphQuery(page or Page(), search, sort))
        assert total >= len(heads)
        return [head.id for head in heads]

    assert await listed() == ["1", "3", "2"]
    assert await listed(sort=GraphSort.CREATED) == ["3", "2", "1"]
    assert await listed(sort=GraphSort.NAME) == ["2", "1", "3"]
    assert await listed("beta", GraphSort.NAME) == ["1", "3"]
    assert await listed("greets beta") == ["3"]
    assert await listed("0%") == ["1"], "a percent sign is a percent sign"
    assert await listed("_") == []
    assert await listed(sort=GraphSort.NAME, page=Page(2, 2)) == ["3"]
    assert (await world.graphs.page(HERE, GraphQuery(Page(9, 2))))[1] == 3
    assert await world.graphs.named(HERE, "Alpha") == ["2"]


async def test_another_workspace_sees_and_changes_nothing(world: World) -> None:
    await world.graphs.save(HERE, parent())
    other = world.other
    assert (await world.graphs.page(other, GraphQuery()))[1] == 0
    assert await world.graphs.names(other, ["main"]) == {}
    for attempt in (
        world.graphs.get(other, MAIN),
        world.graphs.activate(other, MAIN, 1),
        world.graphs.describe(other, MAIN, 1, "mine now"),
        world.graphs.delete(other, MAIN, force=True),
        world.graphs.replace(other, MAIN, greeting("x")),
        world.graphs.prepare(other, MAIN, 1, {}),
    ):
        with pytest.raises(NotFound):
            await attempt
    await world.graphs.save(other, greeting("its own"))
    assert (await world.graphs.head(other, MAIN)).newest_version == 1
    assert (await world.graphs.get(HERE, MAIN)).name == "Parent"
    api = await asyncpg.connect(world.urls.api)
    assert await api.fetchval("SELECT count(*) FROM graph_heads") == 0, "without a workspace there are no rows"
    await api.close()


async def test_parents_that_share_a_sub_agent_can_be_saved_at_once(world: World) -> None:
    def sharing(id: str, *order: str) -> AgentFile:
        nodes = [node(child, CHILD, graph_id=child, graph_version=1) for child in order]
        below = [{"id": child, "name": child, "nodes": [node("b", "text", text=f"{id} {child}")]} for child in order]
        return agent(nodes, id=id, name=id, sub_graphs=below)

    saves = [
        world.graphs.save(HERE, sharing(f"p{number}", *(("x", "y") if number % 2 else ("y", "x"))))
        for number in range(8)
    ]
    rows = await asyncio.gather(*saves)
    assert {row.version for row in rows} == {1}
    assert (await world.graphs.head(HERE, GraphId("x"))).newest_version == 8


async def test_inputs_are_bound_to_the_active_version(world: World) -> None:
    def asking(name: str) -> AgentFile:
        nodes = [node("i", INPUT, name=name), node("o", OUTPUT, name="out")]
        return agent(nodes, [link("i.result", "o.value")])

    await world.graphs.save(HERE, asking("old"))
    await world.graphs.save(HERE, asking("new"))
    await world.graphs.activate(HERE, MAIN, 1)
    plan, bound = await world.graphs.prepare(HERE, MAIN, None, {"old": 1})
    assert [bound[index] for index in plan.starts] == [{"value": 1}]
    assert list((await world.graphs.schemas(HERE, MAIN, None))[0]["properties"]) == ["old"]
    terms = replace(SaveTerms(), note="kept")
    assert (await world.graphs.save(HERE, asking("newest"), terms)).note == "kept"
