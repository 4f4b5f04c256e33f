"""When two values are the same: as in JSON, where true is not 1, but 1 is 1.0."""

import json
from collections.abc import Sequence
from typing import Any


def same(first: Any, second: Any) -> bool:
    """Whether two JSON-like values are equal; unlike in Python, true and false equal no number, at any depth."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(value, second[key]) for key, value in first.items())
    return bool(first == second)


def position_of(items: Sequence[Any], value: Any) -> int | None:
    """Where ``value`` first is among ``items``; None when it is not."""
    start = 0
    while True:
        try:  # the built-in search is quick, and finds a little too much
            index = items.index(value, start)
        except ValueError:
            return None
        if same(items[index], value):
            return index
        start = index + 1


def group_key(value: Any) -> str:
    """A text that is equal for values that are the same, for finding duplicates and groups in one pass."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list | dict):
        return json.dumps(_whole_numbers(value), sort_keys=True, default=str)
    return json.dumps(value, default=str)


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _whole_numbers(each) for key, each in value.items()}
    return value
