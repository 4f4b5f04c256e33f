"""Validation agrees with the reference on its recorded small graphs: what it runs passes, what it refuses does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.features.graphs.samples import agent, link, node
from tests.features.graphs.test_schemas import BUILT_IN
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.schemas import BadRunInputs, run_inputs
from treadle.features.graphs.validation import validate

REFUSED_AT_THE_START = ["graph/44"]
"""There the run starts, and its first node fails: the date that it is given is none. Here it does not start."""


def document_of(recorded: dict[str, Any]) -> AgentFile:
    nodes = [node(each["id"], BUILT_IN.by_name(each["block"]).id, **each["constants"]) for each in recorded["nodes"]]
    return agent(nodes, [link(f"{a}.{b}", f"{c}.{d}") for a, b, c, d in recorded["links"]])


def errors_of(document: AgentFile) -> list[str]:
    found = validate(document, BUILT_IN, for_run=True)
    return [f"{each.code} {each.node}.{each.pin}: {each.message}" for each in found if each.severity == "error"]


def test_recorded_graphs_pass_or_are_refused_as_there(shared: Path) -> None:
    recorded = json.loads((shared / "reference/blocks/vectors/shown.json").read_text())["graphs"]
    wrong: dict[str, Any] = {}
    for each in recorded:
        refused = "rejected" in each or "build_error" in each
        errors = errors_of(document_of(each))
        if bool(errors) != refused:
            wrong[each["vid"]] = errors or "passes here"
    assert wrong == {}


def test_inputs_of_recorded_graphs_are_bound(shared: Path) -> None:
    recorded = json.loads((shared / "reference/blocks/vectors/shown.json").read_text())["graphs"]
    bound, refused = 0, []
    for each in recorded:
        if not each["inputs"] or "trace" not in each:
            continue
        names = {node["id"]: node["constants"].get("name") for node in each["nodes"]}
        try:
            values = run_inputs(document_of(each), BUILT_IN, each["inputs"])
        except BadRunInputs:
            refused.append(each["vid"])
        else:
            assert values == {id: {"value": each["inputs"][names[id]]} for id in values}
            bound += len(values)
    assert bound > 10
    assert refused == REFUSED_AT_THE_START


@pytest.mark.parametrize("run", [False, True])
def test_real_exports_have_no_errors_with_the_built_in_blocks(shared: Path, run: bool) -> None:
    wrong: dict[str, list[str]] = {}
    for path in sorted((shared / "agents").glob("*.json")):
        document = read_agent_file(path.read_bytes(), name=path.name)
        found = validate(document, BUILT_IN, for_run=run)
        errors = [
            f"{each.code} {each.node_name}.{each.pin}: {each.message}" for each in found if each.severity == "error"
        ]
        if errors:
            wrong[path.name] = errors
    assert wrong == {}
