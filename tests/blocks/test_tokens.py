"""Estimated token counts."""

from typing import Any

import pytest

from treadle.blocks.tokens import count_tokens


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("", 0),
        ("hello world", 2),
        ("hello world this is long", 5),
        (12345, 2),
        (None, 1),
        ({"k": "v"}, 6),
        ("internationalization", 3),
        ("привет", 2),
        ("größer", 2),
        ("héllo 世界 😀", 4),
        ("日本語", 2),
        ("a\n\n\nb", 3),
    ],
)
def test_counts(value: Any, tokens: int) -> None:
    assert count_tokens(value) == tokens
