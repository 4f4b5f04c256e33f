"""What belongs to one workspace is as if it did not exist in another, whatever is asked (A1, A11)."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import isolated_settings
from tests.main.installs import ASKING, FAILING, GREETING, running_install
from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, ExecutionId, GraphId, NodeId, WorkspaceId, uuid7
from treadle.base.paging import Page
from treadle.engine.view import History
from treadle.features.executions.listing import RunFilter
from treadle.features.executions.retrying import Retries
from treadle.features.executions.reviews import Decision
from treadle.features.executions.service import Again, Executions
from treadle.features.executions.starting import Wanted
from treadle.features.graphs.reader import read_agent_file
from treadle.main.wiring import Platform, running_platform

OTHER = WorkspaceId(uuid7())


@pytest.fixture(scope="module")
def install() -> Any:
    """A data folder with a database."""
    with running_install() as home:
        yield home


@pytest.fixture
async def platform(install: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    """A platform, asked for things in a workspace that is not the local one."""
    async with running_platform(isolated_settings(install, monkeypatch)) as running:
        yield running


async def _run(platform: Platform, document: dict[str, Any], **inputs: Any) -> ExecutionId:
    saved = await platform.graphs.save(LOCAL_WORKSPACE, read_agent_file(json.dumps(document).encode(), name="test"))
    id, _ = await platform.executions.run(LOCAL_WORKSPACE, Wanted(GraphId(saved.id), inputs), 30)
    return id


Asks = Callable[[Executions, ExecutionId], Awaitable[Any]]
ASKED: dict[str, Asks] = {
    "get": lambda runs, id: runs.get(OTHER, id),
    "family": lambda runs, id: runs.family(OTHER, id),
    "events": lambda runs, id: runs.events(OTHER, id),
    "firings": lambda runs, id: runs.firings(OTHER, id),
    "value": lambda runs, id: runs.value(OTHER, id, "0" * 64),
    "stop": lambda runs, id: runs.stop(OTHER, id),
    "delete": lambda runs, id: runs.delete(OTHER, id),
    "preview": lambda runs, id: runs.rerun_preview(OTHER, id, Again((1,))),
    "rerun": lambda runs, id: runs.rerun(OTHER, id, Again(node=NodeId("text")), now_ms=0),
    "share": lambda runs, id: runs.shares.make(OTHER, id, OPERATOR),
    "review": lambda runs, id: runs.reviews.get(OTHER, id, 2),
    "decide": lambda runs, id: runs.reviews.decide(OTHER, Decision(id, 2, approved=True)),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_what_is_anothers_is_not_found(platform: Platform, asked: Asks) -> None:
    for id in (await _run(platform, GREETING, who="Ann"), await _run(platform, ASKING), ExecutionId(uuid7())):
        with pytest.raises(NotFound) as error:
            await asked(platform.executions, id)
        assert str(id) in error.value.message or not any(each.isdigit() for each in error.value.message)


async def test_what_is_anothers_is_in_no_list(platform: Platform) -> None:
    failed = await _run(platform, FAILING, of=-1)
    await _run(platform, ASKING)
    runs = platform.executions
    row = await runs.get(LOCAL_WORKSPACE, failed)
    assert await runs.lists.page(OTHER, RunFilter(), limit=100) == []
    assert (await runs.lists.total(OTHER, RunFilter())).count == 0
    assert (await runs.lists.names(OTHER, {(row.graph_id, 1)})) == {(row.graph_id, 1): ""}
    assert await runs.reviews.waiting(OTHER, Page()) == ([], 0)
    assert await runs.reviews.of_run(OTHER, failed) == []
    assert await Retries(runs).failed_since(OTHER, row.graph_id, None) == []
    (told,) = await Retries(runs).retry(OTHER, [failed], None)
    assert (told.started, told.reason) == (None, "not_found")


async def test_a_row_of_another_workspace_leads_to_no_record(platform: Platform) -> None:
    row = await platform.executions.get(LOCAL_WORKSPACE, await _run(platform, GREETING, who="Ann"))
    forged = replace(row, workspace_id=OTHER)
    assert [piece async for piece in platform.executions.journal(forged)] == []
    history = History(await platform.executions.plan(row), platform.executions.secret_pins)
    assert [each async for each in platform.executions.fold(forged, history)] == []


async def test_ending_anothers_link_ends_nothing(platform: Platform) -> None:
    id = await _run(platform, GREETING, who="Ann")
    share = await platform.executions.shares.make(LOCAL_WORKSPACE, id, OPERATOR)
    await platform.executions.shares.end(OTHER, id)
    assert await platform.executions.shares.since(OTHER, id) is None
    assert await platform.executions.shares.shared(share.token) == (LOCAL_WORKSPACE, id)


async def test_a_graph_of_another_does_not_start(platform: Platform) -> None:
    row = await platform.executions.get(LOCAL_WORKSPACE, await _run(platform, GREETING, who="Ann"))
    for version in (None, row.graph_version):
        with pytest.raises(NotFound):
            await platform.executions.start(OTHER, row.graph_id, {"who": "Eve"}, version=version)
