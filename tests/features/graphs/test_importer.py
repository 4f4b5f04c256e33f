"""From agent files to the engine's graphs."""

from itertools import count
from pathlib import Path

import pytest

from tests.features.graphs.samples import CHILD, INPUT, REGISTRY, agent, link, node
from tests.features.graphs.test_reader import AGENT_COUNTS
from treadle.features.graphs.importer import import_report, to_graph, with_new_ids
from treadle.features.graphs.known_blocks import known_block_name
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.validation import validate
from treadle.sdk.registry import Registry


@pytest.mark.parametrize("name", AGENT_COUNTS)
def test_real_exports_become_graphs_whatever_blocks_are_installed(shared: Path, name: str) -> None:
    file = read_agent_file((shared / "agents" / name).read_bytes(), name=name)
    graph = to_graph(file)
    assert (len(graph.nodes), len(graph.links)) == AGENT_COUNTS[name]
    assert [node.constants for node in graph.nodes] == [node.input_default for node in file.nodes]
    report = import_report(file, Registry([]))
    assert report.missing_blocks.keys() == {node.block_id for node in file.nodes}
    assert all(report.missing_blocks.values())


def test_the_report_names_what_was_not_taken() -> None:
    document = agent(
        [node("a", "6595ae1f-b924-42cb-9a41-551a0611c4b4"), node("b", "nobody"), node("c", "off"), node("d", "text")],
        [link("a.x", "d.text")] * 3,
    )
    report = import_report(document, REGISTRY)
    assert report.missing_blocks == {"6595ae1f-b924-42cb-9a41-551a0611c4b4": "SendWebRequestBlock", "nobody": ""}
    assert report.disabled_blocks == {"OffBlock": "it was retired"}
    assert report.notes == ("2 links were given more than once; each counts once",)


def test_links_with_the_same_ends_become_one() -> None:
    document = agent([node("a", "text"), node("b", "text")], [link("a.text", "b.text")] * 2)
    assert len(to_graph(document).links) == 1


def test_new_ids_reach_the_nodes_that_run_sub_agents() -> None:
    nodes = [
        node("a", CHILD, graph_id="below", graph_version=7),
        node("b", CHILD, graph_id="elsewhere", graph_version=2),
        node("c", INPUT, graph_id="below"),
    ]
    document = agent(nodes, sub_graphs=[{"id": "below", "version": 7, "nodes": []}])
    numbers = count(1)
    copy = with_new_ids(document, lambda: f"new-{next(numbers)}")
    assert [graph.id for graph in copy.graphs] == ["new-1", "new-2"]
    assert copy.nodes[0].input_default == {"graph_id": "new-2", "graph_version": 1}
    assert copy.nodes[1].input_default == {"graph_id": "elsewhere", "graph_version": 2}
    assert copy.nodes[2].input_default == {"graph_id": "below"}
    assert document.nodes[0].input_default == {"graph_id": "below", "graph_version": 7}
    assert import_report(document, REGISTRY).missing_agents == {"elsewhere": ""}


def test_two_versions_of_a_sub_agent_stay_two() -> None:
    nodes = [node("a", CHILD, graph_id="below", graph_version=1), node("b", CHILD, graph_id="below", graph_version=2)]
    versions = [{"id": "below", "version": 1, "nodes": []}, {"id": "below", "version": 2, "nodes": []}]
    document = agent(nodes, sub_graphs=versions)
    assert [each.code for each in validate(document, REGISTRY, for_run=False) if each.severity == "error"] == []
    numbers = count(1)
    copy = with_new_ids(document, lambda: f"new-{next(numbers)}")
    assert [graph.id for graph in copy.graphs] == ["new-1", "new-2", "new-3"]
    assert [each.input_default["graph_id"] for each in copy.nodes] == ["new-2", "new-3"]


def test_names_of_the_catalogue_are_known() -> None:
    assert known_block_name("363ae599-353e-4804-937e-b2ee3cef3da4") == "AgentOutputBlock"
    assert known_block_name("nobody") == ""
