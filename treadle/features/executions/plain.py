"""Values as plain JSON has them."""

import math
from typing import Any

from treadle.kernel.records import Reference


def plain_value(value: Any) -> Any:
    """``value`` with what JSON lacks as text: infinities, half surrogates, references to values kept apart."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if kind is dict:
        return {plain_value(str(key)): plain_value(each) for key, each in value.items()}
    if kind is list or kind is tuple:
        return [plain_value(each) for each in value]
    if value is None or kind is bool or kind is int:
        return value
    if isinstance(value, Reference):
        return {"size": value.size, "sha256": value.digest}
    return str(value)
