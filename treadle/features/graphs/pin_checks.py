"""Checks of pins: that links name pins that exist, that their types can fit, and rules between pins of a node."""

from collections.abc import Iterator, Mapping, Set
from difflib import get_close_matches
from typing import Any, Literal

from treadle.features.graphs.document import LinkPart, NodePart, version_of
from treadle.features.graphs.importer import AGENT_EXECUTOR
from treadle.features.graphs.pin_types import ANYTHING, annotations_of, can_feed, json_types, type_names
from treadle.features.graphs.schemas import input_schema, output_schema
from treadle.features.graphs.view import GraphView, Problem
from treadle.kernel.dynamic_pins import TOOLS_PIN, declared_name, is_dynamic
from treadle.kernel.values import expected

_Which = Literal["input_schema", "output_schema"]

_HISTORY, _TOOL_OUTPUT = "conversation_history", "last_tool_output"


def check_names(view: GraphView) -> Iterator[Problem]:
    """Both pins of every link exist."""
    for node in view.nodes.values():
        outputs, inputs = _outputs(view, node), _inputs(view, node)
        for link in view.outgoing.get(node.id, ()):
            if outputs is not None and not {link.source_name, declared_name(link.source_name)} & outputs:
                yield _unknown(view, node, link.source_name, "output", outputs)
        for link in view.incoming.get(node.id, ()):
            if inputs is not None and not {link.sink_name, declared_name(link.sink_name)} & inputs:
                yield _unknown(view, node, link.sink_name, "input", inputs)


def _unknown(view: GraphView, node: NodePart, pin: str, side: str, known: Set[str]) -> Problem:
    close = get_close_matches(declared_name(pin), known, n=1)
    fix = f"Link {close[0]} instead." if close else f"Remove the link; the node has: {', '.join(sorted(known))[:300]}."
    return view.problem(node, "error", "unknown_pin", f"the node has no {side} called {pin}", fix, pin)


def _outputs(view: GraphView, node: NodePart) -> Set[str] | None:
    """Names of a node's output pins; None when nobody can say."""
    block = view.blocks[node.id]
    if block is None:
        return None
    declared = block.outputs.model_fields.keys()
    if node.block_id == AGENT_EXECUTOR:
        child = _child_pins(view, node, "output_schema")
        return None if child is None else declared | child
    return None if block.dynamic_outputs else declared


def _inputs(view: GraphView, node: NodePart) -> Set[str] | None:
    """Names of a node's input pins; None when nobody can say."""
    block = view.blocks[node.id]
    if block is None:
        return None
    declared = block.inputs.model_fields.keys()
    if node.block_id == AGENT_EXECUTOR:
        child = _child_pins(view, node, "input_schema")
        return None if child is None else declared | child
    return None if block.dynamic_inputs else declared


def _child_schema(view: GraphView, node: NodePart, which: _Which) -> dict[str, Any] | None:
    """A sub-agent's schema: computed when the file holds the agent, else what the node remembers of it."""
    versions = view.graphs.get(str(node.input_default.get("graph_id")))
    if versions:
        child = version_of(versions, node.input_default.get("graph_version"))
        key = (child.id, child.version, which)
        if key not in view.schemas:
            compute = input_schema if which == "input_schema" else output_schema
            view.schemas[key] = compute(child, view.registry)
        return view.schemas[key]
    remembered = node.input_default.get(which)
    return remembered if isinstance(remembered, dict) and remembered.get("properties") else None


def _child_pins(view: GraphView, node: NodePart, which: _Which) -> set[str] | None:
    computed = _child_schema(view, node, which)
    remembered = node.input_default.get(which)
    if computed is None:
        return None
    schemas = [computed, remembered if isinstance(remembered, dict) else {}]
    maps = [schema.get("properties") for schema in schemas]
    return {name for properties in maps if isinstance(properties, dict) for name in properties}


def check_types(view: GraphView) -> Iterator[Problem]:
    """Values of linked pins can be converted. What travels on dynamic names is not known beforehand."""
    for link in view.links:
        if not (is_dynamic(link.source_name) or is_dynamic(link.sink_name)):
            problem = _type_problem(view, link)
            if problem:
                fix = "Put a block in between that converts the value, or link another pin."
                node = view.nodes[link.sink_id]
                yield view.problem(node, "warning", "incompatible_link", problem, fix, link.sink_name)


def _type_problem(view: GraphView, link: LinkPart) -> str:
    source, sink = view.nodes[link.source_id], view.nodes[link.sink_id]
    given = _types(view, source, link.source_name, "output_schema")
    accepted = _types(view, sink, link.sink_name, "input_schema")
    block = view.blocks[sink.id]
    pin = block.reader.pins.get(link.sink_name) if block else None
    if can_feed(given, accepted, annotations_of(accepted) if pin is None else [pin.annotation]):
        return ""
    sent = f"{view.title(source)} sends {type_names(given)} on {link.source_name}"
    taken = type_names(accepted) if pin is None else expected(pin.annotation)
    return f"{sent}, and {link.sink_name} takes {taken}: no such value can be converted, so this node will fail"


def _types(
    view: GraphView, node: NodePart, pin: str, which: Literal["input_schema", "output_schema"]
) -> frozenset[str]:
    """The JSON types of a pin, of a sub-agent's too; all of them when they are not known."""
    block = view.blocks[node.id]
    own: Mapping[str, Any] = getattr(block, which) if block else {}
    found = _property(own, pin)
    if found is None and node.block_id == AGENT_EXECUTOR:
        own = _child_schema(view, node, which) or {}
        found = _property(own, pin)
    definitions = own.get("$defs")
    return ANYTHING if found is None else json_types(found, definitions if isinstance(definitions, dict) else {})


def _property(schema: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    properties = schema.get("properties")
    found = properties.get(name) if isinstance(properties, dict) else None
    return found if isinstance(found, dict) else None


def check_dependencies(view: GraphView) -> Iterator[Problem]:
    """Pins that only make sense beside others have those others."""
    for node in view.nodes.values():
        block = view.blocks[node.id]
        for pin in block.reader.pins.values() if block else ():
            if node.input_default.get(pin.name) in (None, "", False) and pin.name not in view.linked_pins(node.id):
                continue
            for other in pin.schema.get("depends_on") or ():
                if not _has_value(view, node, other):
                    message = f"{pin.name} has a value, but {other}, which it depends on, has none"
                    yield view.problem(node, "warning", "missing_dependency", message, f"Set {other} as well.", other)


def _has_value(view: GraphView, node: NodePart, name: str) -> bool:
    block = view.blocks[node.id]
    pin = block.reader.pins.get(name) if block else None
    value = node.input_default.get(name)
    return name in view.linked_pins(node.id) or (value is not None) or (pin is not None and pin.default is not None)


def check_tool_loops(view: GraphView) -> Iterator[Problem]:
    """A node that calls tools in a loop gets its history and the tool's answer together, the answer each time anew."""
    for node in view.nodes.values():
        block = view.blocks[node.id]
        if block is None or TOOLS_PIN not in block.outputs.model_fields:
            continue
        linked = view.linked_pins(node.id)
        if (_HISTORY in linked) != (_TOOL_OUTPUT in linked):
            missing = _TOOL_OUTPUT if _HISTORY in linked else _HISTORY
            message = f"{_HISTORY} and {_TOOL_OUTPUT} must be linked together, and {missing} is not linked"
            yield view.worse_when_run(node, "tool_loop", message, f"Link {missing} too.", missing)
        for link in view.incoming.get(node.id, ()):
            origin = view.blocks[link.source_id]
            if link.sink_name == _TOOL_OUTPUT and origin and origin.static_output:
                message = f"{_TOOL_OUTPUT} is linked to {origin.title}, which keeps its value: calls would repeat"
                fix = "Link the tool's own output."
                yield view.worse_when_run(node, "tool_loop", message, fix, _TOOL_OUTPUT)


def check_child_inputs(view: GraphView) -> Iterator[Problem]:
    """Inputs that a sub-agent requires have a value or a link."""
    for node in view.nodes.values():
        if node.block_id != AGENT_EXECUTOR:
            continue
        required = (_child_schema(view, node, "input_schema") or {}).get("required")
        inputs = node.input_default.get("inputs")
        given = (inputs.keys() if isinstance(inputs, dict) else set()) | node.input_default.keys()
        for name in required if isinstance(required, list) else ():
            if isinstance(name, str) and name not in given | view.linked_pins(node.id):
                message = f"the sub-agent needs its input {name}, which has neither a value nor a link"
                fix = f"Type a value into {name} or link something to it."
                yield view.problem(node, "warning", "missing_child_input", message, fix, name)


CHECKS = (check_names, check_types, check_dependencies, check_tool_loops, check_child_inputs)
