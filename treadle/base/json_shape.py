"""How large and how deep JSON text is, told without making values of it.

A few megabytes of brackets become a gigabyte of objects, and parsing them holds up everything else in the process: who
takes JSON from outside asks here first. Everything is done by operations that pass over bytes at the machine's speed.
"""

MOST_VALUES = 1_000_000
"""Values that one JSON text may hold, whatever takes it: lists, objects and what is in them."""

_STRUCTURE = b'"[]{},'
_NOT_STRUCTURE = bytes(set(range(256)) - set(_STRUCTURE))


def outline(text: bytes) -> bytes | None:
    """The brackets and commas of JSON text in UTF-8 that stand outside of strings; None when there are far too many.

    Of text that is no JSON this is right as far as a parser gets with it.
    """
    # A run of backslashes begins with one that escapes, so pairs are found from the left.
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text
    marks = unescaped.translate(None, _NOT_STRUCTURE)
    if marks.count(b'"') > 4 * MOST_VALUES:  # a key and a text each
        return None
    return b"".join(marks.split(b'"')[::2])


def has_too_many_values(outline: bytes) -> bool:
    """Whether text with this outline holds more than ``MOST_VALUES``."""
    return sum(map(outline.count, (b",", b"[", b"{"))) > MOST_VALUES


def is_deeper(outline: bytes, levels: int) -> bool:
    """Whether lists and objects stand more than ``levels`` deep in each other."""
    brackets = outline.translate(None, b",")
    if brackets.count(b"[") + brackets.count(b"{") <= levels:
        return False
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > levels:
            return True
    return False
