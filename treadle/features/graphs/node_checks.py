"""Checks of single nodes: their ids, their block, their constants, their policy, their names."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from treadle.engine.secrets import is_sealed
from treadle.features.graphs.credential_needs import is_credentials_pin
from treadle.features.graphs.document import NodePart
from treadle.features.graphs.known_blocks import known_block_name
from treadle.features.graphs.view import GraphView, Problem, Severity
from treadle.kernel.dynamic_pins import base_name
from treadle.sdk.block import BlockKind

MAX_VALUE = 50 * 1024 * 1024
"""Bytes of one constant as JSON."""
_ALWAYS_COMPLETE = (BlockKind.INPUT, BlockKind.OUTPUT, BlockKind.AGENT)
"""Without their required constants such nodes have no name or no agent, so they cannot even be saved."""


def check_ids(view: GraphView) -> Iterator[Problem]:
    """Node ids are distinct."""
    for id, count in Counter(node.id for node in view.graph.nodes).items():
        if count > 1:
            message = f"{count} nodes have the id {id}"
            yield view.problem(view.nodes[id], "error", "duplicate_node", message, "Give each node its own id.")


def check_blocks(view: GraphView) -> Iterator[Problem]:
    """This install has every block, and may run it."""
    for node in view.nodes.values():
        block = view.blocks[node.id]
        if block is None:
            name = known_block_name(node.block_id) or f"with the id {node.block_id}"
            message = f"this install does not have the block {name}"
            yield view.worse_when_run(node, "unknown_block", message, "Replace the node, or install the block.")
        elif block.disabled:
            message = f"the block {block.title} may not run here: {block.disabled}"
            yield view.worse_when_run(node, "disabled_block", message, "Replace the node.")


def check_constants(view: GraphView) -> Iterator[Problem]:
    """Constants have their pins' types. Those of linked pins are not used, and so not checked.

    Nor are encrypted ones: they were checked when they were saved, and are again when the block is given them.
    """
    for node in view.nodes.values():
        block = view.blocks[node.id]
        if block is None or block.kind is BlockKind.NOTE:
            continue
        linked = view.linked_pins(node.id)
        given = node.input_default.items()
        constants = {name: value for name, value in given if name not in linked and not is_sealed(value)}
        for pin, problem in block.reader.problems(constants).items():
            if pin not in linked:
                shown = "it has a wrong type" if node.input_default.get("secret") is True else problem
                message = f"the value of {pin} cannot be used: {shown}"
                yield view.worse_when_run(node, "bad_constant", message, f"Change the value of {pin}.", pin)


def check_sizes(view: GraphView) -> Iterator[Problem]:
    """No constant is larger than the engine takes."""
    for node in view.nodes.values():
        for pin, value in node.input_default.items():
            small = value is None or isinstance(value, (bool, int, float))
            if not small and len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) > MAX_VALUE:
                message = f"the value of {pin} is larger than {MAX_VALUE // 1_048_576} MB"
                yield view.problem(node, "error", "value_too_large", message, "Put it into a file.", pin)


def check_required(view: GraphView) -> Iterator[Problem]:
    """Required pins have a constant or a link. Credentials are chosen when a run starts."""
    for node in view.nodes.values():
        block = view.blocks[node.id]
        if block is None or block.kind is BlockKind.NOTE:
            continue
        given = {base_name(name) for name, value in node.input_default.items() if value is not None}
        for pin in block.reader.pins.values():
            if not pin.required or pin.name in given or is_credentials_pin(pin):
                continue
            severe: Severity = "error" if view.for_run or block.kind in _ALWAYS_COMPLETE else "warning"
            if pin.name == "name" and block.kind in (BlockKind.INPUT, BlockKind.OUTPUT):
                message = f"the {block.kind.value.lower()} has no name (a link to the pin does not give it one)"
                yield view.problem(node, severe, "missing_input", message, "Type a name.", pin.name)
            elif pin.name not in view.linked_pins(node.id):
                message = f"{pin.name} is required, and has neither a value nor a link"
                fix = f"Type a value into {pin.name} or link something to it."
                yield view.problem(node, severe, "missing_input", message, fix, pin.name)


def check_policy(view: GraphView) -> Iterator[Problem]:
    """Policy values are in range."""
    for node in view.nodes.values():
        for setting, value, low, high in _policy_values(node):
            if not (math.isfinite(value) and low <= value <= high):
                message = f"the node's {setting} is {value:g}, and must be from {low:g} to {high:g}"
                yield view.problem(node, "error", "bad_policy", message, f"Change the node's {setting}.")


def _policy_values(node: NodePart) -> Iterator[tuple[str, float, float, float]]:
    policy = node.policy
    yield "retry.attempts", policy.retry.attempts, 1, 100
    yield "retry.first_delay", policy.retry.first_delay, 0, 86_400
    yield "retry.max_delay", policy.retry.max_delay, 0, 86_400
    yield "timeout", policy.timeout, 0.001, 30 * 86_400
    yield "concurrency", policy.concurrency, 1, 10_000


def check_fallback(view: GraphView) -> Iterator[Problem]:
    """A fallback says what to send, on pins that the block has."""
    for node in view.nodes.values():
        block = view.blocks[node.id]
        if node.policy.on_error != "fallback":
            continue
        if not node.policy.fallback:
            message = "the node sends a fallback when it fails, but none is given"
            yield view.problem(node, "error", "bad_policy", message, "Give a value for at least one output pin.")
        known = block.outputs.model_fields if block and not block.dynamic_outputs else node.policy.fallback
        for pin in node.policy.fallback.keys() - known.keys():
            message = f"the fallback names the output {pin}, which the block does not have"
            yield view.problem(node, "error", "bad_policy", message, f"Take {pin} out of the fallback.", pin)


def check_input_names(view: GraphView) -> Iterator[Problem]:
    """Names of agent inputs are free of reserved words, and distinct."""
    names: dict[str, list[NodePart]] = defaultdict(list)
    for node in view.nodes_of(BlockKind.INPUT):
        name = node.input_default.get("name")
        if isinstance(name, str):
            names[name].append(node)
    for name, nodes in names.items():
        if name == "credentials" or name.endswith("_credentials"):
            message = f"the input name {name} is reserved for credentials"
            yield view.problem(nodes[0], "error", "reserved_name", message, "Choose another name.", "name")
        if len(nodes) > 1:
            message = f"{len(nodes)} inputs are called {name}; all get the same value"
            yield view.problem(nodes[-1], "warning", "duplicate_input", message, "Give each its own name.", "name")


CHECKS = (
    check_ids,
    check_blocks,
    check_constants,
    check_sizes,
    check_required,
    check_policy,
    check_fallback,
    check_input_names,
)
