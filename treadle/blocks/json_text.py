"""Reading JSON text as its standard has it."""

import json
from typing import Any


def read_json(text: str) -> Any:
    """The value that the text describes. ``NaN`` and ``Infinity``, which Python reads too, are no JSON.

    Raises:
        ValueError: the text is not JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed in JSON")
