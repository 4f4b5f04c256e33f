"""Templates of requests: ``{name}`` stands for a value. Values are data; they never change a template's structure.

``{name}`` alone keeps the value's type; inside other text it is turned into text. ``{name?}`` is left out when the
value is empty, and any value is left out when it is None. In paths every value is percent-encoded, so that it stays
one segment; ``{+name}`` may span segments (a file's path).
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from treadle.sdk.errors import InputRefused

_PLACE = re.compile(r"\{(?P<many>\+?)(?P<name>[a-z][a-z0-9_]*)(?P<optional>\??)\}")


class _LeftOut:
    """Marks a part of a body that is not sent."""


LEFT_OUT = _LeftOut()


def names_in(template: Any) -> set[str]:
    """The names of all values that a template uses."""
    if isinstance(template, str):
        return {match["name"] for match in _PLACE.finditer(template)}
    if isinstance(template, Mapping):
        return set().union(*(names_in(each) for each in template.values()))
    if isinstance(template, list | tuple):
        return set().union(*(names_in(each) for each in template))
    return set()


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """The path with its values, each percent-encoded.

    Raises:
        InputRefused: a value is empty, or a dot segment, which would lead to another path.
    """
    return _PLACE.sub(lambda place: _path_value(place["name"], values[place["name"]], place["many"]), template)


def _path_value(name: str, value: Any, many: str) -> str:
    text = _as_text(value).strip("/") if many else _as_text(value)
    if not text or any(segment in (".", "..") for segment in text.split("/")):
        raise InputRefused({name: f"{text!r} cannot be part of an address"}, fix=f"Give a plain value for {name}.")
    return quote(text, safe="/" if many else "")


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """The body or the query parameters with their values; parts that are left out are gone."""
    filled = _fill(template, values)
    return {} if filled is LEFT_OUT else filled


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        return _fill_text(template, values)
    if isinstance(template, Mapping):
        parts = {key: _fill(each, values) for key, each in template.items()}
        kept = {key: part for key, part in parts.items() if part is not LEFT_OUT}
        return kept if kept or not template else LEFT_OUT
    if isinstance(template, list | tuple):
        return [part for part in (_fill(each, values) for each in template) if part is not LEFT_OUT]
    return template


def _fill_text(template: str, values: Mapping[str, Any]) -> Any:
    whole = _PLACE.fullmatch(template)
    if whole is None:
        return _PLACE.sub(lambda place: _as_text(values[place["name"]]), template)
    value = values[whole["name"]]
    empty = value is None or (bool(whole["optional"]) and value in ("", [], {}))
    return LEFT_OUT if empty else value


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
