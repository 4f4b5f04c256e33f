"""Schemas that are computed from a graph: what a run takes, what it gives, which credentials it needs.

They have the form of the reference's exports, so that its clients and forms work with them.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

from treadle.base.errors import BadInput
from treadle.base.ids import BlockId
from treadle.features.graphs.document import GraphPart, NodePart
from treadle.sdk.block import Block, BlockKind
from treadle.sdk.inputs import PinInfo
from treadle.sdk.registry import Registry

_REPLACED = frozenset(("title", "description", "default", "hidden", "placeholder", "secret", "advanced"))
"""What the node's own constants say instead of the block's ``value`` pin."""


class BadRunInputs(BadInput):
    """The inputs given to a run do not fit the agent. ``problems`` maps the input's name to what is wrong."""

    code: ClassVar[str] = "bad_run_inputs"

    def __init__(self, problems: Mapping[str, str], *, fix: str) -> None:
        super().__init__("; ".join(problems.values()), fix=fix)
        self.problems = dict(problems)


def input_schema(graph: GraphPart, registry: Registry) -> dict[str, Any]:
    """JSON Schema of what a run of ``graph`` takes, by the names of its input nodes."""
    return _schema_of(graph, registry, BlockKind.INPUT)


def output_schema(graph: GraphPart, registry: Registry) -> dict[str, Any]:
    """JSON Schema of what a run of ``graph`` gives, by the names of its output nodes."""
    return _schema_of(graph, registry, BlockKind.OUTPUT)


def run_inputs(graph: GraphPart, registry: Registry, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Bind the inputs given to a run to input nodes: ``{node id: {"value": value}}``.

    Inputs that are not given, or given as null, keep the value typed into their node.

    Raises:
        BadRunInputs: names that the agent does not have, inputs without any value, values of a wrong type.
    """
    nodes = list(_named(graph, registry, BlockKind.INPUT))
    linked = {link.sink_id for link in graph.links if link.sink_name == "value"}
    problems = _problems_of(nodes, given)
    bound: dict[str, dict[str, Any]] = {}
    for node, block, name in nodes:
        if given.get(name) is not None:
            bound[node.id] = {"value": given[name]}
        elif _value_of(node, block) is None and node.id not in linked:
            problems[name] = f"the input “{name}” has no value"
    _refuse(nodes, problems)
    return bound


def check_given(graph: GraphPart, registry: Registry, given: Mapping[str, Any]) -> None:
    """See whether a run could be given these inputs, and maybe others with them.

    Raises:
        BadRunInputs: names that the agent does not have, values of a wrong type.
    """
    nodes = list(_named(graph, registry, BlockKind.INPUT))
    _refuse(nodes, _problems_of(nodes, given))


_Inputs = list[tuple[NodePart, Block, str]]


def _problems_of(nodes: _Inputs, given: Mapping[str, Any]) -> dict[str, str]:
    names = {name for _, _, name in nodes}
    problems = {name: _unknown_input(name, names) for name in given if name not in names}
    for node, block, name in nodes:
        problem = _type_problem(node, block, given[name]) if given.get(name) is not None else ""
        if problem:
            problems[name] = f"the input “{name}”: {problem}"
    return problems


def _refuse(nodes: _Inputs, problems: Mapping[str, str]) -> None:
    if problems:
        expected = ", ".join(sorted({name for _, _, name in nodes})) or "none at all"
        raise BadRunInputs(problems, fix=f"Give the agent its inputs by name; it has: {expected[:500]}.")


def _schema_of(graph: GraphPart, registry: Registry, kind: BlockKind) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: dict[str, bool] = {}
    for node, block, name in _named(graph, registry, kind):
        properties[name] = _property(node, block, name)
        required[name] = _value_of(node, block) is None
    return {"type": "object", "properties": properties, "required": [name for name in required if required[name]]}


def _named(graph: GraphPart, registry: Registry, kind: BlockKind) -> Iterator[tuple[NodePart, Block, str]]:
    """Nodes of a kind that have a name; the reference cannot build a graph with others, which validation refuses."""
    for node in graph.nodes:
        block = registry.get(BlockId(node.block_id))
        name = node.input_default.get("name")
        if block is not None and block.kind is kind and isinstance(name, str):
            yield node, block, name


def _property(node: NodePart, block: Block, name: str) -> dict[str, Any]:
    constants = node.input_default
    value = _value_of(node, block)
    choices = constants.get("placeholder_values")
    description = constants.get("description")
    return {
        **_value_schema(block),
        **({"enum": choices} if choices else {}),
        "secret": constants.get("secret") is True,
        "advanced": constants.get("advanced") is True and value is not None,
        "title": constants.get("title") or name,
        **({"description": description} if description else {}),
        **({"default": value} if value is not None and constants.get("secret") is not True else {}),
    }


def _value_schema(block: Block) -> dict[str, Any]:
    pin = _value_pin(block)
    if pin is None:
        return {}
    schema = {key: part for key, part in pin.schema.items() if key not in _REPLACED}
    if "format" in schema and "anyOf" in schema:  # the reference writes it on the member that it is about
        form = schema.pop("format")
        schema["anyOf"] = [each if each.get("type") == "null" else {**each, "format": form} for each in schema["anyOf"]]
    definitions = block.input_schema.get("$defs")
    return {**schema, "$defs": definitions} if definitions and "$ref" in str(schema) else schema


def _value_pin(block: Block) -> PinInfo | None:
    return block.reader.pins.get("value")


def _value_of(node: NodePart, block: Block) -> Any:
    """The value typed into an input node, or the one that its block starts with."""
    pin = _value_pin(block)
    constant = node.input_default.get("value")
    return constant if constant is not None else pin.default if pin else None


def _unknown_input(name: str, names: set[str]) -> str:
    close = get_close_matches(name, names, n=1) or [each for each in names if each.lower() == name.lower()]
    return f"the agent has no input “{name[:100]}”" + (f"; did you mean “{close[0]}”?" if close else "")


def _type_problem(node: NodePart, block: Block, value: Any) -> str:
    problem = block.reader.problems({"value": value}).get("value", "")
    secret = node.input_default.get("secret") is True
    return "its value is of a wrong type" if problem and secret else problem
