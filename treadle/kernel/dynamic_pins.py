"""Dynamic pin names: ``values_#_key``, ``items_$_0``, ``thing_@_field``, chained; and the routing names of tools.

On a sink they build up the base pin's value; on a source they select inside the emitted value. Everything here works
on plain data (objects and lists of JSON): no attribute of a Python object can be reached by a name.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from treadle.base.errors import BadInput

KEY, INDEX, FIELD = "_#_", "_$_", "_@_"
"""The delimiters: key of an object, position in a list, field of an object."""

MAX_INDEX = 10_000
"""Highest list position that a name may ask for: a list is padded with nulls up to it."""

TOOLS_PIN = "tools"
_TOOL_PREFIX = "tools_^_"
_TOOL_SEPARATOR = "_~_"
_DELIMITER = re.compile(r"(_#_|_\$_|_@_)")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")

Step = tuple[str, str]
"""A delimiter and the part that follows it."""

Merge = Callable[[Mapping[str, Any]], dict[str, Any]]


class DynamicPinError(BadInput):
    """A dynamic pin name asks for something that cannot be built."""

    code = "dynamic_pin"


def is_dynamic(name: str) -> bool:
    """Whether the name holds a delimiter."""
    return KEY in name or INDEX in name or FIELD in name


def base_name(name: str) -> str:
    """The name before the first delimiter: ``values_#_a`` -> ``values``; other names stay as they are."""
    return _DELIMITER.split(name, maxsplit=1)[0] if is_dynamic(name) else name


def selectable_from(name: str) -> list[str]:
    """The emitted pins that a link from ``name`` may answer to: ``a_#_b_$_0`` to itself, ``a_#_b`` and ``a``."""
    return [name, *(name[: each.start()] for each in reversed(list(_DELIMITER.finditer(name))))]


def declared_name(name: str) -> str:
    """The pin of the block that a name on a link belongs to: the base name, or ``tools`` for a tool's name."""
    return TOOLS_PIN if name.startswith(_TOOL_PREFIX) else base_name(name)


@lru_cache(maxsize=4096)
def _parse(name: str) -> tuple[str, tuple[Step, ...]] | None:
    """Base name and steps; None for a plain name, which is also what a name with an empty part is."""
    pieces = _DELIMITER.split(name)
    parts = pieces[2::2]
    if not parts or not all(parts):
        return None
    return pieces[0], tuple(zip(pieces[1::2], parts, strict=True))


# --- sinks ---


def merge(data: Mapping[str, Any]) -> dict[str, Any]:
    """A new map in which the values of dynamic names are merged into their base names; the flat names stay.

    The order of the names does not matter: a plain value comes first, then its parts, shallow before deep. No value in
    ``data`` is changed. Lists are padded with null.

    Raises:
        DynamicPinError: a position that is no whole number, too high or before the start; a name like ``__x__``; keys
            and positions asked of the same value.
    """
    result = dict(data)
    for name in data:
        if KEY in name or INDEX in name or FIELD in name:
            return _merge_names(result, data)
    return result


def compile_merge(names: Iterable[str]) -> Merge | None:
    """``merge`` for a node whose pin names are known beforehand; None when there is nothing to merge."""
    return merge if any(_parse(name) for name in names if is_dynamic(name)) else None


def _merge_names(result: dict[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    parsed = [(name, path) for name in data if is_dynamic(name) and (path := _parse(name)) is not None]
    parsed.sort(key=lambda each: len(each[1][1]))
    own: dict[int, Any] = {}
    for name, (base, steps) in parsed:
        result[base] = _placed(result.get(base), steps, data[name], own, name)
    return result


def _placed(current: Any, steps: tuple[Step, ...], value: Any, own: dict[int, Any], name: str) -> Any:
    """``current`` with ``value`` at the end of ``steps``.

    Containers are copied before the first write, as they may be shared with other firings; ``own`` holds those that
    this merge made, by id.
    """
    if not steps:
        return value
    (delimiter, part), rest = steps[0], steps[1:]
    if delimiter == INDEX:
        items: list[Any] = _writable(current, list, own, name)
        position = _pad(items, part, name)
        items[position] = _placed(items[position], rest, value, own, name)
        return items
    if part.startswith("__") and part.endswith("__"):
        raise DynamicPinError(f"pin {name!r}: the name {part!r} is not allowed", fix="Rename the key.")
    fields: dict[str, Any] = _writable(current, dict, own, name)
    fields[part] = _placed(fields.get(part), rest, value, own, name)
    return fields


def _writable(current: Any, kind: type[Any], own: dict[int, Any], name: str) -> Any:
    if id(current) in own:
        if type(current) is kind:
            return current
        raise DynamicPinError(
            f"pin {name!r}: the same value is given keys and list positions",
            fix="Link either keys (_#_) or positions (_$_) to one pin, not both.",
        )
    container = kind(current) if isinstance(current, kind) else kind()
    own[id(container)] = container
    return container


def _pad(items: list[Any], part: str, name: str) -> int:
    """Make the list long enough and give the position."""
    if not _WHOLE_NUMBER.fullmatch(part):
        raise DynamicPinError(f"pin {name!r}: the list position {part!r} is not a whole number")
    position = int(part)
    if position > MAX_INDEX:
        raise DynamicPinError(f"pin {name!r}: the list position {position} is over {MAX_INDEX}")
    if position < -len(items):
        raise DynamicPinError(f"pin {name!r}: the list position {position} is before the start of the list")
    items.extend([None] * (position + 1 - len(items)))
    return position


# --- sources ---


def select(emitted_pin: str, value: Any, source_name: str, sink_node: str = "", sink_pin: str = "") -> tuple[bool, Any]:
    """Whether a link from ``source_name`` fires for this emission, and with which value.

    A null on the whole pin is delivered; a path that leads to nothing or to null does not fire. An emission on a
    tool's name fires exactly the link to that node and pin.
    """
    if emitted_pin.startswith(_TOOL_PREFIX):
        fires = declared_name(source_name) == TOOLS_PIN and parse_tool_pin(emitted_pin) == (sink_node, sink_pin)
        return fires, value if fires else None
    if emitted_pin == source_name:
        return True, value
    if not source_name.startswith(emitted_pin):
        return False, None
    path = _parse(source_name[len(emitted_pin) :])
    if path is None or path[0]:
        return False, None
    found = _selected(value, path[1])
    return found is not None, found


def _selected(value: Any, steps: tuple[Step, ...]) -> Any:
    for delimiter, part in steps:
        value = _item(value, part) if delimiter == INDEX else _field(value, part)
        if value is None:
            return None
    return value


def _field(value: Any, part: str) -> Any:
    return value.get(part) if isinstance(value, dict) else None


def _item(value: Any, part: str) -> Any:
    if not isinstance(value, list | tuple) or not _WHOLE_NUMBER.fullmatch(part):
        return None
    position = int(part)
    return value[position] if -len(value) <= position < len(value) else None


# --- tools ---


def tool_pin(sink_node: str, sink_pin: str) -> str:
    """The name on which a value for that pin of a tool's node is emitted: ``tools_^_{node}_~_{pin}``."""
    return f"{_TOOL_PREFIX}{sink_node}{_TOOL_SEPARATOR}{sink_pin}"


def parse_tool_pin(name: str) -> tuple[str, str] | None:
    """Node (or, in older agent files, tool name) and pin of a tool's name; None when it is not one."""
    if not name.startswith(_TOOL_PREFIX):
        return None
    node, separator, pin = name[len(_TOOL_PREFIX) :].partition(_TOOL_SEPARATOR)
    return (node, pin) if separator and node and pin else None
