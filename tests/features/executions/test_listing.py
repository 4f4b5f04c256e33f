"""Lists of runs are what a list in memory would be, whatever is asked of them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, GraphId, WorkspaceId, uuid7
from treadle.base.reading import WorkspaceReader
from treadle.features.executions import listing
from treadle.features.executions.listing import RunFilter, RunLists
from treadle.kernel.states import Status
from treadle.sdk.registry import Registry

OTHER = WorkspaceId(uuid7())
START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = {"a": "Alpha 100%", "b": "Beta_one", "c": ""}
"""By graph; of the last there is no version any more."""
ERRORS = [None, "Node x failed: 50% of it.", "ALPHA", "a\\b"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is put into the database."""

    id: UUID
    graph: str
    status: Status
    error: str | None
    created: datetime

    def fits(self, wanted: RunFilter) -> bool:
        """Whether it is in the list that is wanted."""
        text = wanted.text.lower()
        return (
            wanted.graph in (None, self.graph)
            and (not wanted.statuses or self.status in wanted.statuses)
            and (wanted.created_after is None or self.created > wanted.created_after)
            and (wanted.created_before is None or self.created < wanted.created_before)
            and (text in (self.error or "").lower() or text in NAMES[self.graph].lower())
        )


def _runs(amount: int) -> list[Run]:
    """Newest first, as a list shows them."""
    made = []
    for number in range(amount):
        created = START + timedelta(hours=number)
        id = UUID(int=(int(created.timestamp() * 1000) << 80) | 0x7 << 76 | 0x8 << 60 | number)
        status = list(Status)[number % len(Status)]
        made.append(Run(id, "abc"[number % 3], status, ERRORS[number % len(ERRORS)], created))
    return made[::-1]


RUNS = _runs(60)


async def _fill(connection: asyncpg.Connection, runs: list[Run], workspace: WorkspaceId) -> None:
    for run in runs:
        await connection.execute(
            "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format,"
            " error, created_at) VALUES ($1, $1, $2, $3, 1, '', $4::text::execution_status, 1, $5, $6)",
            run.id if workspace == LOCAL_WORKSPACE else UUID(int=run.id.int + 1000),
            workspace,
            run.graph,
            run.status,
            run.error,
            run.created,
        )


@pytest.fixture
async def lists(database: DatabaseUrls) -> AsyncIterator[RunLists]:
    """The runs above in a workspace, and the same in another one."""
    owner = await asyncpg.connect(database.owner)
    await owner.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'other')", OTHER)
    for workspace in (LOCAL_WORKSPACE, OTHER):
        for graph, name in NAMES.items():
            if name:
                await owner.execute(
                    "INSERT INTO graphs (workspace_id, id, version, name, document, digest)"
                    " VALUES ($1, $2, 1, $3, '{}', '')",
                    workspace,
                    graph,
                    name,
                )
        await _fill(owner, RUNS, workspace)
    await owner.close()
    reader = await WorkspaceReader.open(database.api)
    yield RunLists(reader, Registry([]))
    reader.close()


moments = st.none() | st.integers(-30, 90).map(lambda minutes: START + timedelta(minutes=40 * minutes))
filters = st.builds(
    RunFilter,
    graph=st.none() | st.sampled_from(["a", "b", "c", "none"]).map(GraphId),
    statuses=st.lists(st.sampled_from(Status), max_size=3, unique=True).map(tuple),
    created_after=moments | st.just(datetime(1, 1, 1, tzinfo=UTC)),
    created_before=moments | st.just(datetime(9999, 12, 31, tzinfo=UTC)),
    text=st.sampled_from(["", "alpha", "0%", "_", "\\", "beta_", "it", "%"]),
)


async def test_a_list_is_filtered_sorted_counted_and_paged(lists: RunLists) -> None:
    loop = asyncio.get_running_loop()

    @given(filters, st.integers(1, 20), st.integers(0, 70), st.none() | st.sampled_from(RUNS))
    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    def tried(wanted: RunFilter, limit: int, offset: int, before: Run | None) -> None:
        async def check() -> None:
            place: dict[str, Any] = {"offset": offset} if before is None else {"before": ExecutionId(before.id)}
            found = await lists.page(LOCAL_WORKSPACE, wanted, limit=limit, **place)
            fitting = [run for run in RUNS if run.fits(wanted)]
            behind = [run for run in fitting if before is None or run.id < before.id]
            start = offset if before is None else 0
            assert [line.id for line in found] == [run.id for run in behind[start : start + limit]]
            for line in found:
                run = next(each for each in RUNS if each.id == line.id)
                assert (line.status, line.error, line.created_at) == (run.status, run.error, run.created)
                assert line.graph_name == NAMES[run.graph]
            total = await lists.total(LOCAL_WORKSPACE, wanted)
            assert (total.count, total.exact) == (len(fitting), True)

        asyncio.run_coroutine_threadsafe(check(), loop).result()

    await asyncio.to_thread(tried)


async def test_beyond_what_is_counted_the_total_says_so(
    lists: RunLists, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNTED", 40)
    total = await lists.total(LOCAL_WORKSPACE, RunFilter())
    assert (total.count, total.exact) == (40, False)
    assert await lists.total(LOCAL_WORKSPACE, RunFilter()) == total
    few = await lists.total(LOCAL_WORKSPACE, RunFilter(graph=GraphId("a")))
    assert (few.count, few.exact) == (20, True)


async def test_what_is_remembered_of_a_run_is_not_shown_when_it_is_gone(
    lists: RunLists, database: DatabaseUrls
) -> None:
    over = RunFilter(statuses=(Status.COMPLETED,))
    first = await lists.page(LOCAL_WORKSPACE, over, limit=50)
    owner = await asyncpg.connect(database.owner)
    await owner.execute("DELETE FROM executions WHERE id = $1", first[0].id)
    await owner.execute("UPDATE executions SET firings = 7 WHERE status = 'RUNNING'")
    await owner.close()
    assert await lists.page(LOCAL_WORKSPACE, over, limit=50) == first[1:]
    running = await lists.page(LOCAL_WORKSPACE, RunFilter(statuses=(Status.RUNNING,)), limit=50)
    assert {line.firings for line in running} == {7}


async def test_little_is_remembered(lists: RunLists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_LINES_KEPT", 10)
    monkeypatch.setattr(listing, "_LINES_FORGOTTEN", 4)
    for offset in range(0, 60, 5):
        found = await lists.page(LOCAL_WORKSPACE, RunFilter(), limit=5, offset=offset)
        assert [line.id for line in found] == [run.id for run in RUNS[offset : offset + 5]]


async def test_sub_agents_and_others_runs_are_in_no_list(lists: RunLists, database: DatabaseUrls) -> None:
    owner = await asyncpg.connect(database.owner)
    await owner.execute(
        "INSERT INTO executions (id, root_id, parent_id, parent_firing, parent_slot, workspace_id, graph_id,"
        " graph_version, plan_digest, status, format) VALUES ($1, $2, $2, 1, 0, $3, 'a', 1, '', 'COMPLETED', 1)",
        uuid7(),
        RUNS[0].id,
        LOCAL_WORKSPACE,
    )
    await owner.close()
    assert len(await lists.page(LOCAL_WORKSPACE, RunFilter(), limit=1000)) == len(RUNS)
    theirs = {line.id for line in await lists.page(OTHER, RunFilter(), limit=1000)}
    assert len(theirs) == len(RUNS)
    assert not theirs & {run.id for run in RUNS}
    assert await lists.page(WorkspaceId(uuid7()), RunFilter(), limit=10) == []
