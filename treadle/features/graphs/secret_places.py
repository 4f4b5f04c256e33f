"""Where in an agent the secrets are: encrypted when it is saved, shown as ``***``, and left out of exports.

A place is secret when its block or its agent says so (a pin declared secret, an input marked as secret), and, where
nobody has declared anything (headers, dynamic pins, blocks that are not installed), when its name looks like it.
"""

from collections.abc import Callable, Mapping, Set
from functools import partial
from typing import Any

from treadle.base.ids import BlockId
from treadle.features.graphs.document import GraphPart, NodePart, Values
from treadle.features.graphs.importer import AGENT_EXECUTOR, SUB_AGENT_BLOCKS
from treadle.kernel.dynamic_pins import base_name
from treadle.sdk.block import Block, BlockKind
from treadle.sdk.registry import Registry

_SECRET_WORDS = (
    *("credential", "apikey", "password", "passphrase", "token", "secret"),
    *("authorization", "privatekey", "accesskey", "cookie"),
)
"""Names that hold one of these are taken for secrets where nobody has declared what they are."""
SCHEMAS = ("input_schema", "output_schema")
"""Constants in which a node that runs an agent remembers that agent's pins."""
LEFT_OUT: Any = object()
"""What a ``Change`` gives for a value that is to be taken away."""

Place = tuple[str | int, ...]
"""Keys that lead from a node to a value: ``("input_default", "headers", "Authorization")``."""
Change = Callable[[NodePart, Place, Any], Any]
"""What becomes of the value at a secret place of a node; it is never called for null and yes or no."""
_Inner = Callable[[Place, Any], Any]
SecretInputs = Mapping[str, Set[str]]
"""Agents by id, and the names of their inputs that are marked as secret."""


def is_secret_name(name: str) -> bool:
    """Whether a name looks like that of a secret: ``X-Api-Key``, ``access_token``, ``password``."""
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return any(word in plain for word in _SECRET_WORDS)


def secret_inputs_of(graph: GraphPart) -> set[str]:
    """The names of a graph's inputs that are marked as secret."""
    constants = [node.input_default for node in graph.nodes]
    return {str(each["name"]) for each in constants if each.get("secret") is True and "name" in each}


def change_secrets(graph: GraphPart, registry: Registry, children: SecretInputs, change: Change) -> None:
    """Replace the value at every secret place of the graph, in the graph itself."""
    for node in graph.nodes:
        block = registry.get(BlockId(node.block_id))
        child = children.get(str(node.input_default.get("graph_id")), set())
        inner = partial(change, node)
        node.input_default = _constants(node, block, child, inner)
        node.metadata = _named(node.metadata, ("metadata",), inner)
        node.policy.fallback = _named(node.policy.fallback, ("fallback",), inner)


def at(node: NodePart, place: Place) -> Any:
    """The value at a place of a node; ``LEFT_OUT`` when there is none."""
    found: Any = {"input_default": node.input_default, "metadata": node.metadata, "fallback": node.policy.fallback}
    for key in place:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return LEFT_OUT
    return found


def _constants(node: NodePart, block: Block | None, secret_child_inputs: Set[str], change: _Inner) -> Values:
    changed: Values = {}
    for name, value in node.input_default.items():
        place: Place = ("input_default", name)
        if _is_declared_secret(node, block, name) or name in secret_child_inputs:
            new = _changed(value, place, change)
        elif _looks_secret(block, name):
            new = _changed_text(value, place, change)
        elif name == "inputs" and node.block_id in SUB_AGENT_BLOCKS and isinstance(value, dict):
            new = _named(value, place, change, secret_child_inputs)
        elif name in SCHEMAS and node.block_id == AGENT_EXECUTOR:
            new = without_secret_defaults(value)
        else:
            new = _inside(value, place, change)
        if new is not LEFT_OUT:
            changed[name] = new
    return changed


def _is_declared_secret(node: NodePart, block: Block | None, name: str) -> bool:
    if name == "value" and node.input_default.get("secret") is True:
        return block is None or block.kind is BlockKind.INPUT
    pin = block.reader.pins.get(base_name(name)) if block else None
    return pin is not None and pin.secret


def _looks_secret(block: Block | None, name: str) -> bool:
    """Of a pin that the block has declared, and not declared secret, the name says nothing."""
    return is_secret_name(name) and (block is None or name not in block.reader.pins)


def _named(values: Mapping[str, Any], place: Place, change: _Inner, secret: Set[str] = frozenset()) -> Values:
    """Values by name, of which nobody has declared anything but those in ``secret``."""
    changed: Values = {}
    for name, value in values.items():
        within = (*place, name)
        if name in secret:
            new = _changed(value, within, change)
        else:
            new = (_changed_text if is_secret_name(name) else _inside)(value, within, change)
        if new is not LEFT_OUT:
            changed[name] = new
    return changed


def _inside(value: Any, place: Place, change: _Inner) -> Any:
    if isinstance(value, dict):
        return _named(value, place, change)
    if isinstance(value, list):
        return [_inside(each, (*place, index), change) for index, each in enumerate(value)]
    return value


def _changed(value: Any, place: Place, change: _Inner) -> Any:
    return value if value is None or isinstance(value, bool) else change(place, value)


def _changed_text(value: Any, place: Place, change: _Inner) -> Any:
    """By name alone a number is no secret: ``max_tokens``."""
    return value if isinstance(value, (int, float)) else _changed(value, place, change)


def without_secret_defaults(schema: Any) -> Any:
    """A schema keeps its pins, whatever they are called; only the defaults of secret ones go."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return schema
    kept = {
        name: {key: part for key, part in pin.items() if key != "default"}
        if isinstance(pin, dict) and (pin.get("secret") is True or is_secret_name(name))
        else pin
        for name, pin in properties.items()
    }
    return {**schema, "properties": kept}
