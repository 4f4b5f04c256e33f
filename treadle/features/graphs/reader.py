"""From the bytes of a file to an ``AgentFile``: tolerant of old and foreign forms, exact about what is wrong."""

import hashlib
from collections import deque
from typing import Any
from uuid import UUID, uuid5

from pydantic import BaseModel, ValidationError

from treadle.features.graphs.document import AgentFile, GraphPart, LinkPart, NodePart, PolicyPart, RetryPart
from treadle.features.graphs.errors import BadAgentFile, FileProblem
from treadle.features.graphs.json_text import Notes, read_json

MAX_NODES = 10_000
MAX_LINKS = 50_000
MAX_GRAPHS = 500
_NAMESPACE = UUID("6b1d6b38-6f0c-4b0e-9d5e-5f2a4f6f7a11")
"""Ids that a file lacks are derived under it, so that reading a file twice gives the same document."""
_COMPUTED = frozenset(
    (
        *("user_id", "created_at", "updated_at", "user", "is_template", "trigger_setup_info"),
        *("input_schema", "output_schema", "credentials_input_schema"),
        *("has_external_trigger", "has_human_in_the_loop", "has_sensitive_action"),
    )
)
"""Keys of the reference's exports that are computed again, or mean nothing elsewhere."""
_REDUNDANT = frozenset(("input_links", "output_links", "graph_id", "graph_version", "webhook_id", "webhook"))
"""The same on nodes."""

_Raw = dict[str, Any]


def read_agent_file(data: bytes, *, name: str) -> AgentFile:
    """Read an agent file; ``name`` is the file's name, used in messages and for an agent without a name.

    Raises:
        BadAgentFile: the file is not an agent; every problem found is in ``problems``, with its place and a fix.
    """
    notes = Notes()
    raw = _graph_object(read_json(data, name=name, notes=notes), name)
    raw["sub_graphs"] = _sub_graphs(raw, notes)
    graphs: list[_Raw] = [raw, *raw["sub_graphs"]]
    _check_counts(graphs, name)
    if not raw.get("name"):
        raw["name"] = name.removesuffix(".json") or "Agent"
    digest = hashlib.sha256(data).hexdigest()
    for index, graph in enumerate(graphs):
        _fill_in(graph, digest, index, notes)
    try:
        agent = AgentFile.model_validate(raw)
    except ValidationError as error:
        raise BadAgentFile(name, [_field_problem(dict(found)) for found in error.errors(include_url=False)]) from None
    for place in _unknown_keys(graphs):
        notes.add(f"Not understood and left out: {place}")
    return agent.with_notes(notes.texts)


def _graph_object(value: Any, name: str) -> _Raw:
    """The object that is the main graph, out of what the file holds."""
    if isinstance(value, dict) and "nodes" not in value and isinstance(value.get("graph"), dict):
        value = value["graph"]  # the body of the reference's import request
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a single value")
        fix = "An agent file is one object with `nodes` and `links`; export one agent at a time."
        raise BadAgentFile(name, [FileProblem("", f"the file holds {kind}, not an agent", fix)])
    if "connections" in value and "nodes" in value:
        fix = "Build it again as an agent, or ask its author for an agent file."
        raise BadAgentFile(name, [FileProblem("", "this is an n8n workflow, not an agent file", fix)])
    if not isinstance(value.get("nodes"), list):
        found = ", ".join(sorted(value)[:8]) or "nothing"
        problem = "there is no list of nodes" if "nodes" not in value else "`nodes` is not a list"
        fix = "An agent file is one object with `nodes` and `links`."
        raise BadAgentFile(name, [FileProblem("nodes", f"{problem} (the object has: {found[:200]})", fix)])
    return value


def _sub_graphs(raw: _Raw, notes: Notes) -> list[_Raw]:
    """All sub-graphs as one flat list; older files call them ``subgraphs`` or nest them."""
    found: list[_Raw] = []
    todo: deque[_Raw] = deque([raw])
    while todo:
        graph = todo.popleft()
        for key in ("sub_graphs", "subgraphs"):
            below = graph.pop(key, None) or []
            below = list(below.values()) if isinstance(below, dict) else below
            if not isinstance(below, list) or not all(isinstance(each, dict) and "nodes" in each for each in below):
                notes.add(f"`{key}` holds something else than graphs and was left out")
                continue
            found.extend(below)
            todo.extend(below)
    return found


def _check_counts(graphs: list[_Raw], name: str) -> None:
    def total(key: str) -> int:
        return sum(len(graph[key]) for graph in graphs if isinstance(graph.get(key), list))

    counts = (
        ("graphs", len(graphs), MAX_GRAPHS),
        ("nodes", total("nodes"), MAX_NODES),
        ("links", total("links"), MAX_LINKS),
    )
    fix = "Split the agent into several, and run them as sub-agents."
    problems = [
        FileProblem(what, f"the file has {count} {what}, and may have {limit}", fix)
        for what, count, limit in counts
        if count > limit
    ]
    if problems:
        raise BadAgentFile(name, problems)


def _fill_in(graph: _Raw, digest: str, index: int, notes: Notes) -> None:
    """Give a graph what older files leave out: ids, and links that stand only on the nodes."""
    graph.setdefault("id", str(uuid5(_NAMESPACE, f"{digest}/{index}")))
    nodes = [node for node in graph["nodes"] if isinstance(node, dict)] if isinstance(graph["nodes"], list) else []
    for number, node in enumerate(nodes):
        if node.get("id") is None:
            node["id"] = str(uuid5(_NAMESPACE, f"{digest}/{index}/{number}"))
        if node.get("policy") is None:
            node.pop("policy", None)
    if graph.get("links") is None:
        graph["links"] = _links_on_nodes(nodes)
        if graph["links"]:
            notes.add("The file has no `links`; they were taken from the nodes")
    for key in ("version", "is_active"):
        if graph.get(key) is None:
            graph.pop(key, None)


def _links_on_nodes(nodes: list[_Raw]) -> list[_Raw]:
    """The links of which each node keeps copies, each once."""
    ends = ("source_id", "source_name", "sink_id", "sink_name")
    lists = [node.get(key) for node in nodes for key in ("input_links", "output_links")]
    links = [link for each in lists if isinstance(each, list) for link in each if isinstance(link, dict)]
    return list({tuple(str(link.get(end)) for end in ends): link for link in links}.values())


def _field_problem(found: dict[str, Any]) -> FileProblem:
    place = ""
    for step in found["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    if found["type"] == "missing":
        return FileProblem(place, "is missing", f"Add `{found['loc'][-1]}` there.")
    value = repr(found["input"])
    shown = value if len(value) <= 60 else value[:60] + "…"
    message = found["msg"][0].lower() + found["msg"][1:]
    return FileProblem(place, f"{message}, found {shown}", "Mend the value there.")


def _unknown_keys(graphs: list[_Raw]) -> list[str]:
    """Keys that neither this format nor the reference's exports have, each told once with an example's place."""
    found: dict[str, str] = {}
    for index, graph in enumerate(graphs):
        where = "" if index == 0 else f"sub_graphs[{index - 1}]."
        _note_unknown(found, graph, AgentFile if index == 0 else GraphPart, where, _COMPUTED)
        for number, node in enumerate(graph["nodes"]):
            place = f"{where}nodes[{number}]."
            _note_unknown(found, node, NodePart, place, _REDUNDANT)
            policy = node.get("policy", {})
            _note_unknown(found, policy, PolicyPart, f"{place}policy.", frozenset())
            _note_unknown(found, policy.get("retry", {}), RetryPart, f"{place}policy.retry.", frozenset())
        for number, link in enumerate(graph["links"]):
            _note_unknown(found, link, LinkPart, f"{where}links[{number}].", frozenset())
    return list(found.values())


def _note_unknown(
    found: dict[str, str], raw: _Raw, model: type[BaseModel], place: str, expected: frozenset[str]
) -> None:
    for key in raw.keys() - model.model_fields.keys() - expected:
        found.setdefault(f"{model.__name__}.{key}", f"{place}{key}"[:200])
