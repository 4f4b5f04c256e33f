"""Describing a comment on a code change, for the blocks that send reviews."""

from typing import Any

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin

DEFAULT_SIDE = "RIGHT"
"""The side of the new version; it goes without saying."""


class CommentInput(Inputs):
    path: str = pin("The file that the comment is about, from the root of the repository.")
    body: str = pin("The text of the comment.")
    position: int | None = pin("The line within the diff, counted from its first hunk header.", default=None)
    line: int | None = pin("Used as the position when there is none.", default=None)
    side: str | None = pin("LEFT for the old version, RIGHT for the new one.", default=DEFAULT_SIDE)
    start_line: int | None = pin("The first line of a comment on several lines, counted from 1.", default=None)
    start_side: str | None = pin("The side of that first line.", default=None)


class CommentOutput(Outputs):
    comment_object: dict[str, Any] = pin("The comment, as reviews take it.")


@block(
    id="b7d5e4f2-8c3a-4e6b-9f1d-7a8b9c5e4d3f",
    name="GithubCreateCommentObjectBlock",
    title="GitHub Create Comment Object",
    outputs=CommentOutput,
    categories=("DEVELOPER_TOOLS",),
    work=Work.PURE,
    short=True,
    examples=(
        Example(
            {"path": "src/a.py", "body": "Name this.", "position": 3},
            [("comment_object", {"path": "src/a.py", "body": "Name this.", "position": 3})],
        ),
    ),
)
async def create_comment_object(inputs: CommentInput, ctx: Context) -> Stream:
    """Make a comment on a place in a code change, to send with a review."""
    comment: dict[str, Any] = {"path": inputs.path, "body": inputs.body}
    position = inputs.line if inputs.position is None else inputs.position
    if position is not None:
        comment["position"] = position
    if inputs.side and inputs.side != DEFAULT_SIDE:
        comment["side"] = inputs.side
    if inputs.start_line:
        comment["start_line"] = inputs.start_line
    if inputs.start_side:
        comment["start_side"] = inputs.start_side
    yield "comment_object", comment


BLOCKS = (create_comment_object,)
