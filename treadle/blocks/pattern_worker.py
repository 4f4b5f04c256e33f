"""What the worker processes of ``treadle.blocks.pattern_search`` load: the engines, before a search's time runs."""

from typing import Any

import re2

from treadle.blocks.pattern_engine import Flags, search_now

ENGINE = re2
"""Loaded with this module, so that loading it is no part of a search's time."""


def search(pattern: str, text: str, case_sensitive: bool, dot_all: bool, group: int, limit: int) -> dict[str, Any]:
    """``{"found": ...}``, or ``{"fault": ...}`` saying what is wrong with the pattern."""
    return search_now(pattern, text, Flags(case_sensitive, dot_all), group, limit)
