"""How the runs of an agent have gone is true, whatever ends when, and in however many commits at the same time."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features.library.conftest import ANN, Shelf
from treadle.base.ids import GraphId, LibraryAgentId, uuid7
from treadle.features.library.entries import AgentStatus, Entry, EntryQuery, EntrySort
from treadle.kernel.states import FINAL, MOVES, Status


async def _entry(shelf: Shelf, graph: str) -> Entry:
    return await shelf.library.of_graph(shelf.two.mine, ANN, GraphId(graph))


async def test_the_last_run_is_the_one_that_was_started_last(shelf: Shelf) -> None:
    id = await shelf.save("News")
    first, second = await shelf.run("News", "RUNNING"), await shelf.run("News", "RUNNING")
    await shelf.turn({second: "COMPLETED"})
    entry = await shelf.get(id)
    assert entry.last_run is not None
    assert (entry.last_run.id, entry.last_run.status, entry.status) == (second, "COMPLETED", "RUNNING")
    assert entry.last_run.ended_at is not None
    await shelf.turn({first: "FAILED"})
    entry = await shelf.get(id)
    assert entry.last_run is not None and entry.last_run.id == second
    third = await shelf.run("News", "QUEUED")
    entry = await shelf.get(id)
    assert entry.last_run is not None
    assert (entry.last_run.id, entry.last_run.status, entry.status) == (third, "QUEUED", "QUEUED")


async def test_the_reason_of_a_failure_is_told(shelf: Shelf) -> None:
    await shelf.save("News")
    await shelf.run("News", "FAILED", error="x" * 1_000)
    last = (await _entry(shelf, "News")).last_run
    assert last is not None and last.error == "x" * 300


async def test_runs_of_sub_agents_and_of_others_do_not_count(shelf: Shelf) -> None:
    await shelf.save("News")
    await shelf.save("Other")
    run = await shelf.run("Other", "RUNNING")
    await shelf.engine.execute(
        "INSERT INTO executions (id, root_id, parent_id, parent_firing, parent_slot, workspace_id, graph_id,"
        " graph_version, plan_digest, status, format) VALUES ($1, $2, $2, 1, 0, $3, 'News', 1, '', 'FAILED', 1)",
        uuid7(),
        run,
        shelf.two.mine,
    )
    assert ((await _entry(shelf, "News")).status, (await _entry(shelf, "Other")).status) == ("NEVER_RUN", "RUNNING")


async def test_the_most_urgent_state_is_the_agents(shelf: Shelf) -> None:
    await shelf.save("News")
    for status in ("TERMINATED", "WAITING", "QUEUED", "RUNNING", "REVIEW"):
        await shelf.run("News", status)
        assert (await _entry(shelf, "News")).status == status
    runs = (await _entry(shelf, "News")).runs
    assert (runs.waiting, runs.queued, runs.running, runs.in_review, runs.terminated) == (1, 1, 1, 1, 1)


async def test_lists_are_filtered_by_state_and_sorted_by_the_last_run(shelf: Shelf) -> None:
    for name in "abcd":
        await shelf.save(name)
    await shelf.run("b", "FAILED")
    await shelf.run("c", "RUNNING")
    await shelf.run("a", "FAILED")
    assert (await shelf.names(sort=EntrySort.LAST_RUN))[:3] == ["a", "c", "b"]
    assert await shelf.names(sort=EntrySort.LAST_RUN, statuses=(AgentStatus.FAILED,)) == ["a", "b"]
    assert await shelf.names(statuses=(AgentStatus.NEVER_RUN,)) == ["d"]
    query = EntryQuery(statuses=(AgentStatus.RUNNING, AgentStatus.FAILED))
    assert (await shelf.library.page(shelf.two.mine, ANN, query))[1].count == 3


async def test_a_deleted_run_is_not_told_any_more(shelf: Shelf) -> None:
    await shelf.save("News")
    first, second = await shelf.run("News", "COMPLETED"), await shelf.run("News", "FAILED")
    await shelf.engine.execute("DELETE FROM executions WHERE id = $1", second)
    entry = await _entry(shelf, "News")
    assert entry.last_run is not None
    assert (entry.last_run.id, entry.status, entry.runs.failed) == (first, "COMPLETED", 0)
    await shelf.engine.execute("DELETE FROM executions")
    entry = await _entry(shelf, "News")
    assert (entry.last_run, entry.status, entry.runs.completed) == (None, "NEVER_RUN", 0)


async def test_an_end_in_a_second_commit_waits_for_nobody_and_is_not_lost(shelf: Shelf) -> None:
    """Two workers end runs of two agents, in opposite orders: no one waits, none is missing."""
    runs = {name: [await shelf.run(name, "RUNNING") for _ in range(2)] for name in "ab" if await shelf.save(name)}
    end = "UPDATE executions SET status = 'COMPLETED', ended_at = now() WHERE id = $1"
    first, second = [await asyncpg.connect(shelf.two.urls.engine) for _ in range(2)]
    try:
        one, two = first.transaction(), second.transaction()
        await one.start()
        await two.start()
        await first.execute(end, runs["a"][0])
        await second.execute(end, runs["b"][0])
        await first.execute(end, runs["b"][1], timeout=5)
        await second.execute(end, runs["a"][1], timeout=5)
        await one.commit()
        await two.commit()
    finally:
        await first.close()
        await second.close()
    for name in "ab":
        entry = await _entry(shelf, name)
        assert (entry.runs.completed, entry.runs.running) == (2, 0)
        assert entry.last_run is not None and entry.last_run.id == runs[name][1]
    assert await shelf.engine.fetchval("SELECT count(*) FROM library_runs_missed") == 0, "whoever looks mends it"


async def test_the_next_end_takes_in_what_was_missed(shelf: Shelf) -> None:
    await shelf.save("a")
    await shelf.run("a", "COMPLETED")
    owner = await asyncpg.connect(shelf.two.urls.owner)
    await owner.execute("UPDATE library_agents SET run_id = NULL, run_status = NULL, recent = ''")
    await owner.execute("INSERT INTO library_runs_missed VALUES ($1, 'a')", shelf.two.mine)
    await owner.close()
    await shelf.run("a", "FAILED")
    assert await shelf.engine.fetchval("SELECT recent FROM library_agents") == "FC"


STEPS = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.sampled_from(sorted(Status))), max_size=6),
    max_size=5,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=STEPS, deleted=st.sets(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=2))
async def test_any_life_of_runs_in_any_commits_is_told_as_it_is(
    rounds: list[list[tuple[str, int, Status]]], deleted: set[tuple[str, int]], shelf: Shelf
) -> None:
    prefix = str(uuid7())
    ids: dict[str, LibraryAgentId] = {name: await shelf.save(prefix + name) for name in "ab"}
    runs: dict[tuple[str, int], UUID] = {}
    states: dict[UUID, Status] = {}
    for moves in rounds:
        changes: list[Any] = []
        for (name, number), status in {(name, number): status for name, number, status in moves}.items():
            run = runs.get((name, number))
            if run is None:
                run = runs[name, number] = uuid7()
                changes.append(shelf.run(prefix + name, status, id=run))
            elif status in MOVES[states[run]]:
                changes.append(shelf.turn({run: status}))
            else:
                continue
            states[run] = status
        await asyncio.gather(*changes)
    for key in deleted & runs.keys():
        await shelf.engine.execute("DELETE FROM executions WHERE id = $1", runs[key])
        del states[runs.pop(key)]
    for name, id in ids.items():
        entry = await shelf.get(id)
        mine = {run: states[run] for (of, _), run in runs.items() if of == name}
        counts = Counter(mine.values())
        told = entry.runs
        assert (told.running, told.queued, told.waiting, told.in_review) == tuple(
            counts[each] for each in (Status.RUNNING, Status.QUEUED, Status.WAITING, Status.REVIEW)
        )
        assert (told.completed, told.failed, told.terminated) == tuple(
            counts[each] for each in (Status.COMPLETED, Status.FAILED, Status.TERMINATED)
        )
        last = max(mine, default=None)
        assert (entry.last_run and entry.last_run.id) == last
        if last is not None and entry.last_run is not None:
            assert entry.last_run.status == mine[last]
            assert (entry.last_run.ended_at is not None) == (mine[last] in FINAL)


@pytest.mark.parametrize("ended", [3, 12])
async def test_of_the_runs_that_are_over_the_last_ten_count(shelf: Shelf, ended: int) -> None:
    await shelf.save("News")
    for number in range(ended):
        await shelf.run("News", "FAILED" if number < 3 else "COMPLETED")
    runs = (await _entry(shelf, "News")).runs
    assert (runs.completed, runs.failed) == ((0, 3) if ended == 3 else (9, 1))
