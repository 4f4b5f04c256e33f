"""The one form that values have on links: plain JSON data, whatever a block sent."""

import base64
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel

SCALARS = frozenset({str, int, float, bool, type(None)})
_TEXTS = frozenset({str})
_MAX_DEPTH = 200


class NotData(ValueError):
    """The value has no JSON form."""


def normal(value: Any, depth: int = 0) -> Any:
    """``value`` as plain data; the very same object when it is plain already.

    Raises:
        NotData: a type that has no JSON form, or nesting deeper than 200.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if depth > _MAX_DEPTH:
        raise NotData(f"nested deeper than {_MAX_DEPTH} levels")
    if kind is list:
        if set(map(type, value)) <= SCALARS:
            return value
        return [normal(each, depth + 1) for each in value]
    if kind is dict:
        if set(map(type, value)) <= _TEXTS:
            if set(map(type, value.values())) <= SCALARS:
                return value
            return {key: normal(each, depth + 1) for key, each in value.items()}
        return {_key(key): normal(each, depth + 1) for key, each in value.items()}
    return _converted(value, depth)


def weight(value: Any) -> int:
    """Roughly how many bytes the value takes as JSON; cheap, never far below the truth."""
    kind = type(value)
    if kind is str:
        return len(value) + 2
    if kind is list:
        return 2 + sum(map(weight, value))
    if kind is dict:
        return 2 + sum(len(key) + 4 + weight(each) for key, each in value.items())
    return 8


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str(key)
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    if isinstance(key, int | float | UUID | date):
        return str(key)
    raise NotData(f"an object key of type {type(key).__name__}")


def _converted(value: Any, depth: int) -> Any:
    if isinstance(value, BaseModel):
        return normal(value.model_dump(mode="json"), depth)
    if isinstance(value, Enum):
        return normal(value.value, depth)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return normal(dict(value), depth)
    if isinstance(value, list | tuple):
        return normal(list(value), depth)
    if isinstance(value, set | frozenset):
        return normal(sorted(value, key=repr), depth)  # a set's own order differs from process to process
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | PurePath):
        return str(value)
    raise NotData(f"a {type(value).__name__}")
