"""The comment object: which fields are written."""

from typing import Any

import pytest

from treadle.blocks.review_comments import create_comment_object
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({}, {}),
        ({"position": 0, "line": 9}, {"position": 0}),
        ({"line": 42, "side": "LEFT"}, {"position": 42, "side": "LEFT"}),
        ({"line": 42, "side": "RIGHT"}, {"position": 42}),
        ({"start_line": 0}, {}),
        ({"start_line": 1, "start_side": "LEFT"}, {"start_line": 1, "start_side": "LEFT"}),
    ],
)
async def test_written_fields(given: dict[str, Any], written: dict[str, Any]) -> None:
    [(name, comment)] = await run_block(create_comment_object, {"path": "a", "body": "b", **given})
    assert name == "comment_object"
    assert comment == {"path": "a", "body": "b", **written}
