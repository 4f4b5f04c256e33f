"""Files come in whole or not at all, and go out again as they were."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.features.graphs.samples import CHILD, REGISTRY, agent, link, node
from tests.features.graphs.test_exporter import VALUES
from tests.features.library.conftest import ANN, Shelf, parent, simple
from treadle.base.errors import NotFound
from treadle.base.ids import FolderId, GraphId, LibraryAgentId, WorkspaceId, uuid7
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.exporter import export_agent
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.service import InvalidAgent
from treadle.features.library.folders import Folders
from treadle.features.library.importing import Existing, Imported, Importer, ImportTerms, Outcome
from treadle.features.library.service import Changes


@pytest.fixture
def importer(shelf: Shelf) -> Importer:
    return Importer(shelf.two.database, shelf.library, shelf.graphs, REGISTRY)


async def _import(importer: Importer, workspace: WorkspaceId, file: AgentFile | bytes, **terms: Any) -> Imported:
    document = read_agent_file(file, name="file.json") if isinstance(file, bytes) else file
    return await importer.import_agent(workspace, document, ImportTerms(ANN, **terms))


async def _exported(shelf: Shelf, workspace: WorkspaceId, id: LibraryAgentId) -> bytes:
    entry = await shelf.library.get(workspace, ANN, id)
    file = await shelf.graphs.agent(workspace, GraphId(entry.graph_id), entry.graph_version, partial=True)
    return export_agent(file, REGISTRY)


async def test_a_file_becomes_an_agent_in_a_folder(shelf: Shelf, importer: Importer) -> None:
    folder = FolderId((await Folders(shelf.two.database).create(shelf.two.mine, "Work")).id)
    made = await _import(importer, shelf.two.mine, parent("Boss", "Helper"), folder=folder)
    assert (made.main.graph_id, made.main.outcome) == ("Boss", Outcome.CREATED)
    assert [(each.graph_id, each.outcome) for each in made.parts] == [("Helper", Outcome.CREATED)]
    assert ((entry := await shelf.get(made.id)).name, entry.folder_id) == ("Boss", folder)
    assert await shelf.names() == ["Boss"]


async def test_the_same_file_again_changes_nothing_and_a_changed_one_is_the_next_version(
    shelf: Shelf, importer: Importer
) -> None:
    first = await _import(importer, shelf.two.mine, parent("Boss", "Helper"))
    again = await _import(importer, shelf.two.mine, parent("Boss", "Helper"))
    assert (again.id, again.main.outcome, again.parts[0].outcome) == (first.id, Outcome.UNCHANGED, Outcome.UNCHANGED)
    changed = await _import(importer, shelf.two.mine, parent("Boss", "Helper", description="new"))
    assert (changed.id, changed.main.outcome, changed.parts[0].outcome) == (
        first.id,
        Outcome.NEW_VERSION,
        Outcome.UNCHANGED,
    )
    assert (await shelf.get(first.id)).graph_version == 2


async def test_a_copy_leaves_what_is_there_alone(shelf: Shelf, importer: Importer) -> None:
    first = await _import(importer, shelf.two.mine, parent("Boss", "Helper"), existing=Existing.COPY)
    assert first.main.graph_id == "Boss", "nothing was there"
    second = await _import(importer, shelf.two.mine, parent("Boss", "Helper", text="x"), existing=Existing.COPY)
    assert second.id != first.id
    assert {second.main.graph_id, second.parts[0].graph_id} & {"Boss", "Helper"} == set()
    assert (await shelf.get(first.id)).newest_version == 1


async def test_importing_puts_a_removed_agent_back(shelf: Shelf, importer: Importer) -> None:
    made = await _import(importer, shelf.two.mine, simple("News"))
    await shelf.library.remove(shelf.two.mine, made.id)
    again = await _import(importer, shelf.two.mine, simple("News"))
    assert (again.id, again.main.outcome) == (made.id, Outcome.UNCHANGED)
    assert await shelf.names() == ["News"]


async def test_an_agent_stays_in_its_folder_unless_another_is_named(shelf: Shelf, importer: Importer) -> None:
    folder = FolderId((await Folders(shelf.two.database).create(shelf.two.mine, "Work")).id)
    made = await _import(importer, shelf.two.mine, simple("News"), folder=folder)
    await _import(importer, shelf.two.mine, simple("News", text="2"))
    assert (await shelf.get(made.id)).folder_id == folder


async def test_nothing_is_left_of_a_file_that_cannot_be_imported(shelf: Shelf, importer: Importer) -> None:
    theirs = FolderId((await Folders(shelf.two.database).create(shelf.two.theirs, "Secret")).id)
    broken = agent([node("a", "text"), node("a", "text")], id="Broken", sub_graphs=[{"id": "Below", "nodes": []}])
    with pytest.raises(InvalidAgent):
        await _import(importer, shelf.two.mine, broken)
    for folder in (theirs, FolderId(uuid7())):
        with pytest.raises(NotFound):
            await _import(importer, shelf.two.mine, parent("Boss", "Helper"), folder=folder)
    assert await shelf.names(parts=True) == []
    assert await shelf.engine.fetchval("SELECT count(*) FROM graphs") == 0


async def test_the_report_tells_what_was_not_taken(shelf: Shelf, importer: Importer) -> None:
    await shelf.save("Here")
    document = {
        "id": "Odd",
        "name": "Odd",
        "color": "red",
        "nodes": [
            node("a", "6595ae1f-b924-42cb-9a41-551a0611c4b4"),
            node("b", "off"),
            node("c", CHILD, graph_id="Gone", graph_version=1, agent_name="Gone for good"),
            node("d", CHILD, graph_id="Here", graph_version=1),
        ],
        "links": [link("b.error", "a.url")] * 2,
    }
    report = (await _import(importer, shelf.two.mine, json.dumps(document).encode())).report
    assert report.missing_blocks == {"6595ae1f-b924-42cb-9a41-551a0611c4b4": "SendWebRequestBlock"}
    assert report.disabled_blocks == {"OffBlock": "it was retired"}
    assert report.missing_agents == {"Gone": "Gone for good"}
    assert "Not understood and left out: color" in report.notes
    assert any("more than once" in note for note in report.notes)


async def test_a_pinned_agent_stays_pinned_when_a_new_version_comes(shelf: Shelf, importer: Importer) -> None:
    made = await _import(importer, shelf.two.mine, simple("News"))
    await shelf.library.update(shelf.two.mine, ANN, made.id, Changes(pinned=1))
    await _import(importer, shelf.two.mine, simple("News", text="2"))
    assert ((entry := await shelf.get(made.id)).graph_version, entry.newest_version) == (1, 2)


TEXTS = st.text(max_size=8)
PLAIN_NODES = st.lists(
    st.fixed_dictionaries(
        {"text": TEXTS, "times": st.integers(1, 5)}, optional={"values": st.dictionaries(TEXTS, VALUES, max_size=3)}
    ),
    min_size=1,
    max_size=3,
)
LINKS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=3)
CALLS = st.lists(st.integers(0, 2), max_size=2)
"""The sub-agents that an agent runs, by their version less one."""


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=(Phase.explicit, Phase.generate),
)
@given(nodes=PLAIN_NODES, links=LINKS, below=st.lists(PLAIN_NODES, min_size=3, max_size=3), calls=CALLS)
async def test_any_agent_is_exported_imported_and_exported_as_the_same_bytes(
    nodes: list[dict[str, Any]],
    links: list[tuple[int, int]],
    below: list[list[dict[str, Any]]],
    calls: list[int],
    shelf: Shelf,
    importer: Importer,
) -> None:
    prefix = str(uuid7())
    document = {
        "id": f"{prefix}-main",
        "name": "Agent",
        "version": 3,
        "nodes": [
            *(node(f"n{number}", "text", **constants) for number, constants in enumerate(nodes)),
            *(
                node(f"c{number}", CHILD, graph_id=f"{prefix}-below", graph_version=5 + which)
                for number, which in enumerate(calls)
            ),
        ],
        "links": [
            link(f"n{source}.text", f"n{sink}.values_#_x")
            for source, sink in links
            if source != sink and max(source, sink) < len(nodes)
        ],
        "sub_graphs": [
            {
                "id": f"{prefix}-below",
                "version": 5 + which,
                "nodes": [node(f"b{number}", "text", **constants) for number, constants in enumerate(below[which])],
            }
            for which in sorted(set(calls))
        ],
    }
    two = shelf.two
    first = await _import(importer, two.mine, json.dumps(document).encode())
    exported = await _exported(shelf, two.mine, first.id)
    elsewhere = await _import(importer, two.theirs, exported)
    assert await _exported(shelf, two.theirs, elsewhere.id) == exported
    again = await _import(importer, two.mine, exported)
    assert (again.id, again.main.outcome) == (first.id, Outcome.UNCHANGED)
    assert await _exported(shelf, two.mine, first.id) == exported
