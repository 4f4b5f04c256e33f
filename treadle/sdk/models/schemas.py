"""JSON Schemas that are put to models, and the check of what they answer."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs


def is_closed(schema: Any) -> bool:
    """Whether a provider's strict mode can take the schema: every object says all its keys, and all are required."""
    if not isinstance(schema, Mapping) or "type" not in schema:
        return False
    if schema["type"] == "array":
        return is_closed(schema.get("items"))
    if schema["type"] != "object":
        return True
    keys = schema.get("properties", {})
    complete = schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(keys)
    return complete and all(is_closed(each) for each in keys.values())


def problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with ``value``, in the words of the schema's check; the first ten. Nothing is ever fetched.

    Raises:
        ValueError: the schema itself is wrong.
    """
    found = []
    for error in _validator(json.dumps(schema, sort_keys=True)).iter_errors(value):
        place = "".join(f"[{step!r}]" for step in error.instance_path)
        found.append(f"{place or 'value'}: {error.message[:200]}")
        if len(found) == 10:
            break
    return found


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    return jsonschema_rs.validator_for(json.loads(schema), retriever=_no_fetching, validate_formats=False)


def _no_fetching(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri[:100]}, which is not part of it")
