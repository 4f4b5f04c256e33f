"""Folders stay a tree, whoever moves them and whenever."""

import asyncio
from collections.abc import Iterable
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features.library.conftest import Two
from treadle.base.errors import NotFound
from treadle.base.ids import FolderId, uuid7
from treadle.features.library.errors import FolderInsideItself, NameTaken, TooDeep
from treadle.features.library.folder_repository import DEEPEST
from treadle.features.library.folders import Contents, Folders


@pytest.fixture
def folders(two: Two) -> Folders:
    return Folders(two.database)


async def _make(folders: Folders, two: Two, name: str, parent: FolderId | None = None) -> FolderId:
    return FolderId((await folders.create(two.mine, name, parent)).id)


async def _paths(folders: Folders, two: Two) -> list[str]:
    rows = {each.folder.id: each.folder for each in await folders.all(two.mine)}

    def path(id: UUID) -> str:
        folder = rows[id]
        return folder.name if folder.parent_id is None else f"{path(folder.parent_id)}/{folder.name}"

    return sorted(path(id) for id in rows)


async def test_folders_are_made_changed_moved_and_found(folders: Folders, two: Two) -> None:
    work = await _make(folders, two, "Work")
    mail = await _make(folders, two, "Mail", work)
    await folders.update(two.mine, mail, name="Post", color="#00ff00", icon="envelope")
    assert await _paths(folders, two) == ["Work", "Work/Post"]
    found = await folders.get(two.mine, mail)
    assert (found.folder.icon, found.folder.color, found.agents) == ("envelope", "#00ff00", 0)
    await folders.move(two.mine, mail, None)
    await folders.move(two.mine, work, mail)
    assert await _paths(folders, two) == ["Post", "Post/Work"]


async def test_names_are_unique_at_each_place_whatever_the_letters(folders: Folders, two: Two) -> None:
    work = await _make(folders, two, "Work")
    inner = await _make(folders, two, "work", work)
    with pytest.raises(NameTaken, match="WORK"):
        await _make(folders, two, "WORK")
    with pytest.raises(NameTaken):
        await folders.move(two.mine, inner, None)
    other = await _make(folders, two, "Other")
    with pytest.raises(NameTaken):
        await folders.update(two.mine, other, name="wOrk")
    assert await _paths(folders, two) == ["Other", "Work", "Work/work"]


async def test_a_folder_is_never_put_into_itself(folders: Folders, two: Two) -> None:
    a = await _make(folders, two, "a")
    b = await _make(folders, two, "b", a)
    c = await _make(folders, two, "c", b)
    for target in (a, b, c):
        with pytest.raises(FolderInsideItself):
            await folders.move(two.mine, a, target)


async def test_folders_are_nested_to_a_limit_from_wherever_it_would_be_passed(folders: Folders, two: Two) -> None:
    chain: list[FolderId] = []
    for number in range(DEEPEST):
        chain.append(await _make(folders, two, str(number), chain[-1] if chain else None))
    with pytest.raises(TooDeep):
        await _make(folders, two, "more", chain[-1])
    top = await _make(folders, two, "top")
    with pytest.raises(TooDeep):
        await folders.move(two.mine, chain[0], top)
    await folders.move(two.mine, chain[1], top)


async def test_what_is_not_there_or_anothers_is_not_found(folders: Folders, two: Two) -> None:
    theirs = FolderId((await folders.create(two.theirs, "secret")).id)
    mine = await _make(folders, two, "mine")
    for id in (theirs, FolderId(uuid7())):
        for attempt in (
            folders.get(two.mine, id),
            folders.create(two.mine, "x", id),
            folders.update(two.mine, id, name="x"),
            folders.move(two.mine, id, None),
            folders.move(two.mine, mine, id),
            folders.delete(two.mine, id, Contents.DELETE),
        ):
            with pytest.raises(NotFound):
                await attempt
    assert [each.folder.name for each in await folders.all(two.theirs)] == ["secret"]


async def test_what_is_in_a_deleted_folder_moves_up_with_names_that_are_free(folders: Folders, two: Two) -> None:
    top = await _make(folders, two, "top")
    gone = await _make(folders, two, "gone", top)
    await _make(folders, two, "Same", top)
    same = await _make(folders, two, "same", gone)
    await _make(folders, two, "gone", gone)
    await _make(folders, two, "inner", same)
    emptied = await folders.delete(two.mine, gone, Contents.MOVE)
    assert (emptied.folders, emptied.agents) == (2, 0)
    assert await _paths(folders, two) == ["top", "top/Same", "top/gone", "top/same (2)", "top/same (2)/inner"]


async def test_a_folder_is_deleted_with_all_that_is_in_it(folders: Folders, two: Two) -> None:
    top = await _make(folders, two, "top")
    gone = await _make(folders, two, "gone", top)
    await _make(folders, two, "inner", await _make(folders, two, "middle", gone))
    assert (await folders.delete(two.mine, gone, Contents.DELETE)).folders == 2
    assert await _paths(folders, two) == ["top"]


async def test_the_database_itself_refuses_a_circle_that_two_make_together(folders: Folders, two: Two) -> None:
    a, b = [await _make(folders, two, name) for name in "ab"]
    first, second = [await asyncpg.connect(two.urls.engine) for _ in range(2)]
    owner = await asyncpg.connect(two.urls.owner)
    await owner.execute("GRANT UPDATE ON library_folders TO treadle_engine")
    move = "UPDATE library_folders SET parent_id = $2 WHERE id = $1"
    try:
        transaction = first.transaction()
        await transaction.start()
        await first.execute(move, a, b)
        other = asyncio.create_task(second.execute(move, b, a))
        while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
            assert not other.done()
        await transaction.commit()
        with pytest.raises(asyncpg.CheckViolationError, match="inside itself"):
            await other
    finally:
        for connection in (first, second, owner):
            await connection.close()


MOVES = st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 6)), max_size=5), max_size=4)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=MOVES)
async def test_any_moves_at_the_same_time_leave_a_tree(
    rounds: list[list[tuple[int, int]]], folders: Folders, two: Two
) -> None:
    ids = [await _make(folders, two, f"{number} {uuid7()}") for number in range(7)]
    for moves in rounds:
        outcomes = await asyncio.gather(
            *(folders.move(two.mine, ids[what], None if to < 0 else ids[to]) for what, to in moves),
            return_exceptions=True,
        )
        assert all(each is None or isinstance(each, FolderInsideItself) for each in outcomes), outcomes
        rows = {each.folder.id: each.folder.parent_id for each in await folders.all(two.mine)}
        assert max(map(len, _ways_up(ids, rows))) <= len(ids)
    for id in ids:
        await folders.delete(two.mine, id, Contents.MOVE)
    assert await folders.all(two.mine) == []


def _ways_up(ids: Iterable[FolderId], parents: dict[UUID, UUID | None]) -> list[list[UUID]]:
    """The ways from each folder to the top; one that goes in a circle is longer than there are folders."""
    ways = []
    for id in ids:
        way: list[UUID] = [id]
        while (parent := parents[way[-1]]) is not None and len(way) <= len(parents):
            way.append(parent)
        ways.append(way)
    return ways
