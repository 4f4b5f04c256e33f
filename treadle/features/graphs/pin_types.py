"""What kinds of JSON a pin takes or gives, and whether a link between two pins can ever work."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeGuard

from treadle.kernel.values import CoercionError, coercer

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
_ANNOTATIONS: Mapping[str, Any] = {
    "string": str,
    "number": float,
    "integer": int,
    "boolean": bool,
    "object": dict[str, Any],
    "array": list[Any],
    "null": None,
}
_NAMES: Mapping[str, str] = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "nothing",
}


def json_types(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that a schema allows; all of them when it does not say, or is no schema: files hold any."""
    found: set[str] = set()
    todo: list[Any] = [schema]
    for _ in range(_MAX_STEPS):
        if not todo:
            return frozenset(found)
        each = todo.pop()
        if not isinstance(each, Mapping):
            return ANYTHING
        choices = each.get("anyOf") or each.get("oneOf") or (each["allOf"][:1] if _is_list(each.get("allOf")) else None)
        if _is_list(choices):
            todo.extend(choices)
        elif "$ref" in each:
            todo.append(definitions.get(str(each["$ref"]).rpartition("/")[2], {}))
        else:
            names = each.get("type")
            types: list[Any] = names if _is_list(names) else [names]
            if not all(isinstance(name, str) and name in ANYTHING for name in types):
                return ANYTHING
            found.update(types)
    return ANYTHING


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and bool(value)


def can_feed(source: frozenset[str], accepted: frozenset[str], annotations: Collection[Any]) -> bool:
    """Whether at least one value of the ``source`` types can arrive on a pin, converted if need be.

    The pin takes values of the ``accepted`` JSON types, and is declared with one of the ``annotations``.
    """
    given = source - {"null"}
    if not given or "string" in given:
        return True
    if given & accepted or ("integer" in given and "number" in accepted):
        return True
    return any(_converts(_SAMPLES[kind], each) for kind in given & _SAMPLES.keys() for each in annotations)


def annotations_of(types: Iterable[str]) -> list[Any]:
    """The annotations of pins whose JSON types are all that is known of them."""
    return [_ANNOTATIONS[each] for each in sorted(types)]


def type_names(types: Iterable[str]) -> str:
    """JSON types in words: ``a list or a text``."""
    return " or ".join(_NAMES[each] for each in sorted(types))


def _converts(value: Any, annotation: Any) -> bool:
    try:
        coercer(annotation)(value)
    except CoercionError:
        return False
    return True
