"""Whatever happens on the connections that people's reads share, nobody sees a row of another workspace."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.base.database import DatabaseUrls
from treadle.base.errors import BadInput
from treadle.base.ids import WorkspaceId, uuid7
from treadle.base.reading import WorkspaceReader

WORKSPACES = [WorkspaceId(uuid7()) for _ in range(3)]
SLOW = "SELECT pg_sleep(0.005), workspace_id FROM graphs"
BAD = "SELECT 1 / 0"


@pytest.fixture
async def reader(database: DatabaseUrls) -> AsyncIterator[WorkspaceReader]:
    """A reader with two connections, on a database in which each workspace has as many graphs as its place says."""
    owner = await asyncpg.connect(database.owner)
    for place, workspace in enumerate(WORKSPACES, 1):
        await owner.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'w')", workspace)
        for number in range(place):
            await owner.execute(
                "INSERT INTO graphs (workspace_id, id, version, name, document, digest)"
                " VALUES ($1, $2, 1, 'g', '{}', '')",
                workspace,
                f"g{number}",
            )
    await owner.close()
    found = await WorkspaceReader.open(database.api, connections=2)
    yield found
    found.close()


Steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["read", "slow", "bad", "cut off", "nowhere", "rolled back"])),
    min_size=1,
    max_size=12,
)


async def _step(reader: WorkspaceReader, place: int, kind: str) -> None:
    workspace = WORKSPACES[place]
    if kind == "bad":
        with pytest.raises(asyncpg.DivisionByZeroError):
            await reader.fetchval(workspace, BAD)
    elif kind == "cut off":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.fetch(workspace, "SELECT pg_sleep(10)"), 0.01)
    elif kind == "nowhere":
        row = await reader.public("SELECT count(*) FROM graphs")
        assert row is not None
        assert row[0] == 0
    elif kind == "rolled back":
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with reader.connection(workspace) as connection, connection.transaction():
                await connection.fetchval(BAD)
    else:
        rows = await reader.fetch(workspace, SLOW if kind == "slow" else "SELECT workspace_id FROM graphs")
        assert [row["workspace_id"] for row in rows] == [workspace] * (place + 1)


async def test_only_rows_of_the_own_workspace_are_seen(reader: WorkspaceReader) -> None:
    loop = asyncio.get_running_loop()

    @given(st.lists(Steps, min_size=1, max_size=4))
    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    def tried(people: list[list[tuple[int, str]]]) -> None:
        async def one(steps: list[tuple[int, str]]) -> None:
            for place, kind in steps:
                await _step(reader, place, kind)

        async def every() -> None:
            await asyncio.gather(*(one(steps) for steps in people))

        asyncio.run_coroutine_threadsafe(every(), loop).result()

    await asyncio.to_thread(tried)


async def test_staying_in_a_workspace_costs_no_round_trip(reader: WorkspaceReader) -> None:
    said: list[str] = []
    async with reader.connection(WORKSPACES[0]) as connection:
        connection.add_query_logger(lambda query: said.append(query.query))
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    for place in (0, 0, 1, 1, 0):
        pid_now = await reader.fetchval(WORKSPACES[place], "SELECT pg_backend_pid()")
        assert pid_now == pid, "one after the other they use the same connection"
    entered = ["set_config" in query for query in said]
    assert entered == [False, False, False, True, False, False, True, False]


async def test_what_cannot_be_stored_is_refused_in_words(reader: WorkspaceReader) -> None:
    with pytest.raises(BadInput, match="cannot be stored"):
        await reader.fetch(WORKSPACES[0], "SELECT 1 FROM graphs WHERE name = $1", "a\0b")


async def test_a_row_of_another_cannot_be_written(reader: WorkspaceReader) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch(
            WORKSPACES[0],
            "INSERT INTO graphs (workspace_id, id, version, name, document, digest) VALUES ($1, 'x', 1, 'x', '{}', '')",
            UUID(str(WORKSPACES[1])),
        )
