"""Acts with a key: once, whatever is sent again, by whom, and whatever comes in between."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from treadle.base.database import DatabaseUrls, create_pool
from treadle.base.ids import LOCAL_WORKSPACE, UserId, WorkspaceId, uuid7
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.idempotency.errors import KeyUsedDifferently, StillGoingOn
from treadle.features.idempotency.service import Answered, Asked, Idempotency, forget_keys

ANN, BEN = UserId(uuid7()), UserId(uuid7())


class Broken(Exception):
    """What an act fails with."""


@dataclass
class Acts:
    """Acts that leave a value in the database."""

    database: WorkspaceDatabase
    service: Idempotency
    workspace: WorkspaceId = LOCAL_WORKSPACE
    done: list[str] = field(default_factory=list)

    async def do(
        self, key: str | None, what: str, *, who: UserId = ANN, route: str = "make", fails: bool = False
    ) -> Answered:
        async def act() -> bytes:
            async with self.database.transaction(self.workspace) as session:
                insert = "INSERT INTO stored_values (workspace_id, key, value) VALUES (:workspace, :key, '1')"
                await session.execute(text(insert), {"workspace": self.workspace, "key": str(uuid7())})
            if fails:
                raise Broken
            self.done.append(what)
            return f"{what} {len(self.done)}".encode()

        asked = None if key is None else Asked(key, route, what.encode())
        return await self.service.answer(self.workspace, who, asked, act, status=201)

    async def left(self) -> int:
        """How many values the acts have left."""
        async with self.database.transaction(self.workspace) as session:
            return int(await session.scalar(text("SELECT count(*) FROM stored_values")) or 0)


@pytest.fixture
async def acts(database: DatabaseUrls) -> AsyncIterator[Acts]:
    opened = WorkspaceDatabase(database.api)
    yield Acts(opened, Idempotency(opened.transaction))
    await opened.close()


async def test_the_same_request_is_done_once_and_answered_alike(acts: Acts) -> None:
    first = await acts.do("k", "a folder")
    assert (first.status, first.body, first.repeated) == (201, b"a folder 1", False)
    again = await acts.do("k", "a folder")
    assert (again.status, again.body, again.repeated) == (201, b"a folder 1", True)
    assert (acts.done, await acts.left()) == (["a folder"], 1)


async def test_without_a_key_everything_is_done_and_in_one_transaction(acts: Acts) -> None:
    await acts.do(None, "x")
    await acts.do(None, "x")
    with pytest.raises(Broken):
        await acts.do(None, "x", fails=True)
    assert await acts.left() == 2


@pytest.mark.parametrize(("what", "route"), [("another body", "make"), ("a folder", "elsewhere")])
async def test_the_same_key_for_something_else_is_refused(acts: Acts, what: str, route: str) -> None:
    await acts.do("k", "a folder")
    with pytest.raises(KeyUsedDifferently, match="make"):
        await acts.do("k", what, route=route)
    assert await acts.left() == 1


async def test_an_act_that_fails_leaves_nothing_and_may_be_tried_again(acts: Acts) -> None:
    with pytest.raises(Broken):
        await acts.do("k", "a folder", fails=True)
    assert await acts.left() == 0
    assert (await acts.do("k", "another folder")).repeated is False


async def test_people_and_workspaces_do_not_share_keys(acts: Acts, database: DatabaseUrls) -> None:
    other = WorkspaceId(uuid7())
    owner = await asyncpg.connect(database.owner)
    await owner.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'other')", other)
    await owner.close()
    await acts.do("k", "ann's")
    assert (await acts.do("k", "ben's", who=BEN)).repeated is False
    acts.workspace = other
    assert (await acts.do("k", "ann's elsewhere")).repeated is False
    async with acts.database.transaction(other) as session:
        keys = "SELECT count(*) FROM idempotency_keys"
        assert await session.scalar(text(keys)) == 1, "each workspace sees its own"


async def test_twins_at_the_same_moment_are_one(acts: Acts) -> None:
    answers = await asyncio.gather(*(acts.do("k", "a folder") for _ in range(8)))
    assert {each.body for each in answers} == {b"a folder 1"}
    assert sorted(each.repeated for each in answers) == [False] + [True] * 7
    assert await acts.left() == 1


async def test_a_twin_of_one_that_fails_takes_its_place(acts: Acts) -> None:
    outcomes = await asyncio.gather(
        *(acts.do("k", "a folder", fails=number == 0) for number in range(4)), return_exceptions=True
    )
    assert isinstance(outcomes[0], Broken) or outcomes[0] == Answered(201, b"a folder 1", repeated=True)
    assert {each.body for each in outcomes[1:] if isinstance(each, Answered)} == {b"a folder 1"}
    assert (acts.done, await acts.left()) == (["a folder"], 1)


async def test_a_twin_of_one_that_takes_long_is_told_so(acts: Acts, database: DatabaseUrls) -> None:
    owner = await asyncpg.connect(database.owner)
    await owner.execute("ALTER FUNCTION idempotency_claim_v1(uuid, uuid, text, text, bytea) SET lock_timeout = '50ms'")
    await owner.close()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> bytes:
        begun.set()
        await go_on.wait()
        return b"done"

    asked = Asked("k", "make", b"a folder")
    first = asyncio.create_task(acts.service.answer(acts.workspace, ANN, asked, slow, status=200))
    await begun.wait()
    with pytest.raises(StillGoingOn):
        await acts.do("k", "a folder")
    go_on.set()
    assert (await first).body == b"done"
    assert (await acts.do("k", "a folder")).body == b"done"


async def test_old_keys_are_forgotten(acts: Acts, database: DatabaseUrls) -> None:
    await acts.do("k", "a folder")
    async with await create_pool(database.engine) as pool:
        assert await forget_keys(pool) == 0
        assert (await acts.do("k", "a folder")).repeated is True
        assert await forget_keys(pool, timedelta(0)) == 1
    assert (await acts.do("k", "a folder")).repeated is False


REQUESTS = st.lists(
    st.tuples(st.sampled_from("kl"), st.sampled_from("ab"), st.sampled_from([ANN, BEN]), st.booleans()), max_size=8
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS)
async def test_any_requests_leave_what_a_list_of_keys_would(
    requests: list[tuple[str, str, UserId, bool]], acts: Acts
) -> None:
    prefix = str(uuid7())
    before, known = await acts.left(), dict[tuple[str, UserId], str]()
    for key, what, who, fails in requests:
        expected = known.get((key, who))
        try:
            answer = await acts.do(prefix + key, what, who=who, fails=fails)
        except Broken:
            assert expected is None
        except KeyUsedDifferently:
            assert expected not in (None, what)
        else:
            assert answer.repeated == (expected is not None)
            assert expected in (None, what)
            known[key, who] = what
    assert await acts.left() == before + len(known)
