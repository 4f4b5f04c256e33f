"""What lists remember of agents is what is there, whatever happens to them."""

from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features.library.conftest import ANN, BEN, Shelf
from treadle.base.ids import GraphId, LibraryAgentId, uuid7
from treadle.features.library.entries import EntryQuery, EntrySort
from treadle.features.library.lines import Lines
from treadle.features.library.service import Changes

_DOINGS = (
    "run",
    "start",
    "end",
    "delete run",
    "save",
    "pin",
    "follow",
    "archive",
    "like",
    "unlike",
    "set up",
    "remove",
)
_QUERIES = (EntryQuery(), EntryQuery(sort=EntrySort.LAST_RUN), EntryQuery(archived=True))


@dataclass(slots=True)
class _Agent:
    id: LibraryAgentId
    graph: str
    saved: int = 1
    open: list[UUID] = field(default_factory=list)


async def _do(shelf: Shelf, agent: _Agent, doing: str) -> None:
    mine, library = shelf.two.mine, shelf.library
    match doing:
        case "run":
            await shelf.run(agent.graph, "FAILED", error="no")
        case "start":
            agent.open.append(await shelf.run(agent.graph, "RUNNING"))
        case "wait" if agent.open:
            await shelf.turn({agent.open[-1]: "WAITING"})
        case "end" if agent.open:
            await shelf.turn({agent.open.pop(): "COMPLETED"})
        case "delete run":
            await shelf.engine.execute("DELETE FROM executions WHERE graph_id = $1 AND status = 'FAILED'", agent.graph)
        case "save":
            agent.saved += 1
            await shelf.save(agent.graph, text=str(agent.saved))
        case "pin":
            await library.update(mine, ANN, agent.id, Changes(pinned=1))
        case "follow":
            await library.update(mine, ANN, agent.id, Changes(pinned=None))
        case "archive":
            await library.update(mine, ANN, agent.id, Changes(archived=True))
        case "like" | "unlike":
            await library.like(mine, ANN, agent.id, likes=doing == "like")
        case "set up":
            await library.update(mine, ANN, agent.id, Changes(settings={"safe_mode": True}))
        case "remove":
            await library.remove(mine, agent.id)
            await library.add(mine, GraphId(agent.graph))
        case _:
            pass


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(_DOINGS)), max_size=12))
async def test_a_remembered_list_is_what_a_fresh_one_would_be(shelf: Shelf, doings: list[tuple[int, str]]) -> None:
    prefix = uuid7()
    graphs = [f"{prefix}-{number}" for number in range(3)]
    agents = [_Agent(await shelf.save(graph), graph) for graph in graphs]
    for which, doing in doings:
        await _do(shelf, agents[which], doing)
        for user in (ANN, BEN):
            for query in _QUERIES:
                remembered = await shelf.library.encoded_page(shelf.two.mine, user, query)
                kept, shelf.library._lines = shelf.library._lines, Lines()
                fresh = await shelf.library.encoded_page(shelf.two.mine, user, query)
                shelf.library._lines = kept
                assert remembered == fresh


async def test_what_a_transaction_has_done_is_not_remembered_when_it_is_undone(shelf: Shelf) -> None:
    id = await shelf.save("News")
    with pytest.raises(ZeroDivisionError):
        async with shelf.two.database.transaction(shelf.two.mine):
            await shelf.library.update(shelf.two.mine, ANN, id, Changes(settings={"timezone": "Europe/Paris"}))
            ((inside,), _) = await shelf.library.page(shelf.two.mine, ANN, EntryQuery())
            assert inside.settings.timezone == "Europe/Paris"
            raise ZeroDivisionError
    ((after,), _) = await shelf.library.page(shelf.two.mine, ANN, EntryQuery())
    assert after.settings.timezone is None


async def test_forgets_what_is_more_than_it_may_keep(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.features.library.lines._KEPT", 2)
    monkeypatch.setattr("treadle.features.library.lines._FORGOTTEN", 1)
    for name in "abc":
        await shelf.save(name)
    for _ in range(2):
        assert sorted(await shelf.names()) == ["a", "b", "c"]
        assert len(shelf.library._lines._known) == 1
