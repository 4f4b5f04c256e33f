"""What kinds of JSON a pin takes or gives, and whether a link between two pins can ever work."""

from collections.abc import Mapping
from typing import Any

from treadle.kernel.values import CoercionError, coercer
from treadle.sdk.inputs import PinInfo

ANYTHING = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))
_MAX_STEPS = 50
_SAMPLES: Mapping[str, Any] = {
    "number": 1.5,
    "integer": 7,
    "boolean": True,
    "object": {"key": "x"},
    "array": ["x", "y"],
}
"""A value of each kind whose content should not matter; texts are left out, as they may hold anything."""


def json_types(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that a schema allows; all of them when it does not say."""
    found: set[str] = set()
    todo = [schema]
    for _ in range(_MAX_STEPS):
        if not todo:
            return frozenset(found)
        each = todo.pop()
        choices = each.get("anyOf") or each.get("oneOf") or (each["allOf"][:1] if each.get("allOf") else None)
        if choices:
            todo.extend(choices)
        elif "$ref" in each:
            todo.append(definitions.get(str(each["$ref"]).rpartition("/")[2], {}))
        elif "type" in each:
            found.update([each["type"]] if isinstance(each["type"], str) else each["type"])
        else:
            return ANYTHING
    return ANYTHING


def can_feed(source: frozenset[str], pin: PinInfo, definitions: Mapping[str, Any]) -> bool:
    """Whether at least one of the ``source`` types can arrive on ``pin``, converted if need be."""
    given = source - {"null"}
    if not given or "string" in given:
        return True
    accepted = json_types(pin.schema, definitions)
    if given & accepted or ("integer" in given and "number" in accepted):
        return True
    return any(_converts(_SAMPLES[kind], pin) for kind in given & _SAMPLES.keys())


def _converts(value: Any, pin: PinInfo) -> bool:
    try:
        coercer(pin.annotation)(value)
    except CoercionError:
        return False
    return True
