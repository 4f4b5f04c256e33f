"""Agents of the library: they appear by themselves, and people file, like, pin, set up and copy them."""

import asyncio

import asyncpg
import pytest

from tests.features.graphs.samples import CHILD, agent, node
from tests.features.library.conftest import ANN, BEN, Shelf, parent, simple
from treadle.base.errors import NotFound
from treadle.base.ids import FolderId, GraphId, LibraryAgentId, uuid7
from treadle.base.paging import Page, Total
from treadle.features.graphs.service import SaveTerms
from treadle.features.library.entries import EntryQuery, EntrySort, Settings
from treadle.features.library.folders import Contents, Folders
from treadle.features.library.service import Changes


async def test_a_saved_agent_is_in_the_library_with_what_it_says(shelf: Shelf) -> None:
    entry = await shelf.get(await shelf.save("News", description="Reads the news."))
    assert (entry.graph_id, entry.graph_version, entry.newest_version) == ("News", 1, 1)
    assert (entry.name, entry.description, entry.auto_update) == ("News", "Reads the news.", True)
    assert (entry.status, entry.last_run, entry.is_favorite, entry.settings) == ("NEVER_RUN", None, False, Settings())
    await shelf.save("News", text="other", description="Reads more.")
    again = await shelf.get(LibraryAgentId(entry.id))
    assert (again.graph_version, again.description) == (2, "Reads more.")
    assert again.updated_at > entry.updated_at


async def test_what_is_not_saved_in_the_end_is_not_in_the_library(shelf: Shelf) -> None:
    with pytest.raises(ZeroDivisionError):
        async with shelf.two.database.transaction(shelf.two.mine):
            await shelf.save("News")
            raise ZeroDivisionError
    assert await shelf.names() == []


async def test_sub_agents_that_come_with_an_agent_are_its_parts(shelf: Shelf) -> None:
    await shelf.save("Old")
    await shelf.save_agent(parent("Boss", "Helper"))
    await shelf.save_agent(parent("Second boss", "Old"))
    assert await shelf.names(sort=EntrySort.NAME) == ["Boss", "Old", "Second boss"]
    assert await shelf.names(sort=EntrySort.NAME, parts=True) == ["Boss", "Helper", "Old", "Second boss"]
    helper = await shelf.library.of_graph(shelf.two.mine, ANN, GraphId("Helper"))
    assert helper.is_part
    await shelf.library.add(shelf.two.mine, GraphId("Helper"))
    assert "Helper" in await shelf.names()


async def test_lists_are_searched_sorted_and_paged(shelf: Shelf) -> None:
    for name in ("banana bread", "Apple pie", "cherry 100% cake"):
        await shelf.save(name, description=f"How to bake {name}")
    assert await shelf.names() == ["cherry 100% cake", "Apple pie", "banana bread"]
    assert await shelf.names(sort=EntrySort.CREATED) == ["cherry 100% cake", "Apple pie", "banana bread"]
    assert await shelf.names(sort=EntrySort.NAME) == ["Apple pie", "banana bread", "cherry 100% cake"]
    assert await shelf.names(search="BAKE  pie") == ["Apple pie"]
    assert await shelf.names(search="100%") == ["cherry 100% cake"]
    assert await shelf.names(search="_") == []
    found, total = await shelf.library.page(shelf.two.mine, ANN, EntryQuery(Page(2, 2), sort=EntrySort.NAME))
    assert ([each.name for each in found], total) == (["cherry 100% cake"], Total(3))


async def test_favorites_are_each_persons_own(shelf: Shelf) -> None:
    id = await shelf.save("News")
    await shelf.save("Other")
    for _ in range(2):
        await shelf.library.like(shelf.two.mine, ANN, id, likes=True)
    assert await shelf.names(favorites=True) == ["News"]
    assert (await shelf.get(id)).is_favorite
    assert await shelf.library.page(shelf.two.mine, BEN, EntryQuery(favorites=True)) == ([], Total(0))
    assert not (await shelf.library.get(shelf.two.mine, BEN, id)).is_favorite
    await shelf.library.update(shelf.two.mine, ANN, id, Changes(favorite=False))
    assert await shelf.names(favorites=True) == []


async def test_archived_agents_are_listed_apart(shelf: Shelf) -> None:
    id = await shelf.save("News")
    await shelf.save("Other")
    await shelf.library.update(shelf.two.mine, ANN, id, Changes(archived=True))
    assert (await shelf.names(), await shelf.names(archived=True)) == (["Other"], ["News"])


async def test_a_pinned_agent_stays_what_it_was(shelf: Shelf) -> None:
    id = await shelf.save("News", description="first")
    await shelf.save("News", text="2", name="News 2", description="second")
    await shelf.library.update(shelf.two.mine, ANN, id, Changes(pinned=1))
    entry = await shelf.get(id)
    assert (entry.graph_version, entry.auto_update, entry.name, entry.description) == (1, False, "News", "first")
    await shelf.save("News", text="3", name="News 3")
    entry = await shelf.get(id)
    assert (entry.graph_version, entry.newest_version, entry.name) == (1, 3, "News")
    await shelf.library.update(shelf.two.mine, ANN, id, Changes(pinned=None))
    assert ((entry := await shelf.get(id)).graph_version, entry.name, entry.auto_update) == (3, "News 3", True)
    with pytest.raises(NotFound, match="version 9"):
        await shelf.library.update(shelf.two.mine, ANN, id, Changes(pinned=9, archived=True))
    assert not (await shelf.get(id)).is_archived


async def test_following_means_the_active_version(shelf: Shelf) -> None:
    id = await shelf.save("News")
    await shelf.graphs.save(shelf.two.mine, simple("News", text="2", name="News 2"), SaveTerms(activate=False))
    assert ((entry := await shelf.get(id)).graph_version, entry.newest_version, entry.name) == (1, 2, "News")
    await shelf.graphs.activate(shelf.two.mine, GraphId("News"), 2)
    assert ((entry := await shelf.get(id)).graph_version, entry.name) == (2, "News 2")


async def test_settings_are_merged_and_taken_away(shelf: Shelf) -> None:
    id = await shelf.save("News")
    await shelf.library.update(shelf.two.mine, ANN, id, Changes(settings={"safe_mode": False, "timezone": "UTC"}))
    await shelf.library.update(shelf.two.mine, ANN, id, Changes(settings={"timezone": None}))
    assert (await shelf.get(id)).settings == Settings(safe_mode=False)


async def test_a_removed_agent_is_gone_until_it_is_saved_or_added_again(shelf: Shelf) -> None:
    id = await shelf.save("News")
    await shelf.library.remove(shelf.two.mine, id)
    assert await shelf.names() == []
    for attempt in (
        shelf.get(id),
        shelf.library.remove(shelf.two.mine, id),
        shelf.library.fork(shelf.two.mine, ANN, id),
    ):
        with pytest.raises(NotFound):
            await attempt
    await shelf.graphs.activate(shelf.two.mine, GraphId("News"), 1)
    assert await shelf.names() == [], "only a save brings it back"
    await shelf.save("News", text="2")
    assert await shelf.names() == ["News"]
    await shelf.library.remove(shelf.two.mine, id)
    assert await shelf.library.add(shelf.two.mine, GraphId("News"), 1) == id
    assert (await shelf.get(id)).auto_update is False


async def test_a_deleted_graph_is_not_in_the_library(shelf: Shelf) -> None:
    id = await shelf.save("News")
    await shelf.graphs.delete(shelf.two.mine, GraphId("News"))
    with pytest.raises(NotFound):
        await shelf.get(id)
    with pytest.raises(NotFound):
        await shelf.library.add(shelf.two.mine, GraphId("News"))
    await shelf.save("News")
    assert await shelf.names() == ["News"]


async def test_a_copy_has_ids_of_its_own_and_names_its_origin(shelf: Shelf) -> None:
    id = await shelf.save_agent(parent("Boss", "Helper", description="Leads."))
    folder = FolderId((await Folders(shelf.two.database).create(shelf.two.mine, "Work")).id)
    await shelf.library.update(shelf.two.mine, ANN, id, Changes(folder=folder, settings={"safe_mode": False}))
    copy = await shelf.get(await shelf.library.fork(shelf.two.mine, BEN, id))
    assert (copy.name, copy.description, copy.graph_version) == ("Boss (copy)", "Leads.", 1)
    assert (copy.folder_id, copy.settings) == (folder, Settings(safe_mode=False))
    file = await shelf.graphs.agent(shelf.two.mine, GraphId(copy.graph_id))
    assert (file.forked_from_id, file.forked_from_version) == ("Boss", 1)
    (below,) = file.sub_graphs
    assert below.id not in ("Helper", "Boss")
    assert file.nodes[0].input_default["graph_id"] == below.id
    assert below.forked_from_id == "Helper"
    await shelf.save("Helper", text="changed")
    assert len(await shelf.names(parts=True)) == 4


async def test_agents_are_filed_together_or_not_at_all(shelf: Shelf) -> None:
    folders = Folders(shelf.two.database)
    ids = [await shelf.save(name) for name in "abc"]
    folder = FolderId((await folders.create(shelf.two.mine, "Work")).id)
    await shelf.library.move(shelf.two.mine, ids[:2], folder)
    assert sorted(await shelf.names(folder=folder)) == ["a", "b"]
    assert await shelf.names(folder="root") == ["c"]
    assert (await folders.get(shelf.two.mine, folder)).agents == 2
    for wrong, target in (([ids[2], LibraryAgentId(uuid7())], folder), ([ids[2]], FolderId(uuid7()))):
        with pytest.raises(NotFound):
            await shelf.library.move(shelf.two.mine, wrong, target)
    assert await shelf.names(folder="root") == ["c"]
    await shelf.library.move(shelf.two.mine, ids, None)
    assert len(await shelf.names(folder="root")) == 3


@pytest.mark.parametrize("contents", Contents)
async def test_agents_of_a_deleted_folder_move_up_or_go(shelf: Shelf, contents: Contents) -> None:
    folders = Folders(shelf.two.database)
    id = await shelf.save("News")
    top = FolderId((await folders.create(shelf.two.mine, "top")).id)
    inner = FolderId((await folders.create(shelf.two.mine, "inner", top)).id)
    await shelf.library.move(shelf.two.mine, [id], inner)
    emptied = await folders.delete(shelf.two.mine, inner, contents)
    assert (emptied.folders, emptied.agents) == (0, 1)
    assert await shelf.names(folder=top) == (["News"] if contents is Contents.MOVE else [])
    await folders.delete(shelf.two.mine, top, contents)
    assert await shelf.names(folder="root") == (["News"] if contents is Contents.MOVE else [])


async def test_filing_and_deleting_folders_at_the_same_time_loses_nothing(shelf: Shelf) -> None:
    folders = Folders(shelf.two.database)
    ids = [await shelf.save(str(number)) for number in range(4)]
    for turn in range(5):
        folder = FolderId((await folders.create(shelf.two.mine, f"Work {turn}")).id)
        outcomes = await asyncio.gather(
            *(shelf.library.move(shelf.two.mine, [id], folder) for id in ids),
            folders.delete(shelf.two.mine, folder, Contents.MOVE),
            return_exceptions=True,
        )
        assert all(each is None or isinstance(each, NotFound) for each in outcomes[:-1]), outcomes
        assert not isinstance(outcomes[-1], BaseException)
        assert len(await shelf.names(folder="root")) == 4


async def test_another_workspace_is_as_if_it_did_not_exist(shelf: Shelf) -> None:
    two, library = shelf.two, shelf.library
    theirs = await shelf.save("Secret", in_workspace=two.theirs)
    folder = FolderId((await Folders(two.database).create(two.theirs, "Secret")).id)
    mine = await shelf.save("Mine")
    for attempt in (
        library.get(two.mine, ANN, theirs),
        library.of_graph(two.mine, ANN, GraphId("Secret")),
        library.add(two.mine, GraphId("Secret")),
        library.update(two.mine, ANN, theirs, Changes(archived=True)),
        library.update(two.mine, ANN, mine, Changes(folder=folder)),
        library.like(two.mine, ANN, theirs, likes=True),
        library.move(two.mine, [theirs], None),
        library.move(two.mine, [mine], folder),
        library.remove(two.mine, theirs),
        library.fork(two.mine, ANN, theirs),
    ):
        with pytest.raises(NotFound):
            await attempt
    entry = await library.get(two.theirs, ANN, theirs)
    assert (entry.is_archived, entry.is_favorite, entry.name) == (False, False, "Secret")
    assert await shelf.names() == ["Mine"]


async def test_the_database_lets_nobody_file_into_a_foreign_folder(shelf: Shelf) -> None:
    id = await shelf.save("Mine")
    folder = (await Folders(shelf.two.database).create(shelf.two.theirs, "Secret")).id
    owner = await asyncpg.connect(shelf.two.urls.owner)
    try:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await owner.execute("UPDATE library_agents SET folder_id = $2 WHERE id = $1", id, folder)
    finally:
        await owner.close()


async def test_missing_credentials_are_told(shelf: Shelf) -> None:
    needy = agent(
        [node("m", "mail", to="x"), node("c", CHILD, graph_id="Plain", graph_version=1)], id="Needy", name="Needy"
    )
    await shelf.save("Plain")
    id = await shelf.save_agent(needy)
    for _ in range(2):
        assert (await shelf.get(id)).needs_credentials is True
    assert [(await shelf.library.of_graph(shelf.two.mine, ANN, GraphId("Plain"))).needs_credentials] == [False]
    await shelf.save_agent(agent([node("t", "text")], id="Needy", name="Needy"))
    assert (await shelf.get(id)).needs_credentials is False
