"""The files in ``examples/`` are in good form, and look good on a canvas."""

from pathlib import Path

import pytest

from treadle.features.graphs.document import NodePart
from treadle.features.graphs.exporter import export_agent
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.validation import validate
from treadle.main.wiring import make_registry

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.json"))


def test_all_of_them_are_in_the_table() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert FILES and [file.name for file in FILES if f"| `{file.name}` |" not in table] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_is_in_the_form_in_which_it_would_be_exported(file: Path) -> None:
    registry = make_registry()
    agent = read_agent_file(file.read_bytes(), name=file.name)
    assert agent.notes == () and validate(agent, registry, for_run=True) == []
    assert export_agent(agent, registry) == file.read_bytes()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_shows_well_on_a_canvas(file: Path) -> None:
    """Steps have names, and stand right of what they get their values from; a note says what the agent does."""
    note = make_registry().by_name("NoteBlock").id
    for graph in read_agent_file(file.read_bytes(), name=file.name).graphs:
        assert graph.description
        assert [node.block_id == note for node in graph.nodes if not node.custom_name] == [True]
        places = {node.id: place_of(node) for node in graph.nodes}
        assert len(set(places.values())) == len(places)
        backwards = [link for link in graph.links if places[link.source_id][0] >= places[link.sink_id][0]]
        names = {node.id: node.custom_name for node in graph.nodes}
        assert {names[link.sink_id] for link in backwards} <= {"Goal reached?"}, "only the loop goes back"


def place_of(node: NodePart) -> tuple[float, float]:
    position = node.metadata["position"]
    assert isinstance(position, dict)
    return float(str(position["x"])), float(str(position["y"]))
