"""Numbers that may arrive as text."""

import math

from treadle.sdk.errors import InputRefused


def whole_number(value: int | str, pin: str) -> int:
    """The whole number that a pin's value means: decimals are cut off, empty text is 0.

    Raises:
        InputRefused: the text is not a number; it names ``pin``.
    """
    if isinstance(value, int):
        return value
    text = value.strip()
    try:
        number = float(text or 0)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputRefused({pin: f"expected a whole number, got {value[:40]!r}"}, fix=f"Give a number on {pin}.")
    return int(text) if text.lstrip("+-").isdecimal() and len(text) < 20 else int(number)
