"""Comments on issues and pull requests."""

from typing import Any

from treadle.integrations.github.manifest import INTEGRATION
from treadle.integrations.github.pins import HOSTS, ISSUE, GithubInputs, IssueInputs
from treadle.sdk.block import Stream, block
from treadle.sdk.client import Client, PageNumbers, get, patch, post
from treadle.sdk.context import Context
from treadle.sdk.operations import operation
from treadle.sdk.pins import Outputs, pin
from treadle.sdk.provider_urls import Address
from treadle.sdk.shapes import Or, Shape, each, items

COMMENT: Shape = {"id": "id", "body": Or("body", ""), "user": Or("user.login", "ghost"), "url": "html_url"}

COMMENT_ADDRESS = Address(
    pin="comment_url",
    hosts=(*HOSTS, "api.github.com"),
    paths=(
        "/{owner}/{repo}/issues/{number:int}#issuecomment-{comment_id:int}",
        "/{owner}/{repo}/pull/{number:int}#issuecomment-{comment_id:int}",
        "/repos/{owner}/{repo}/issues/comments/{comment_id:int}",
    ),
    example="https://github.com/owner/repo/issues/1#issuecomment-123",
)


class CommentInputs(IssueInputs):
    comment: str = pin("Text of the comment, in Markdown.", format="long-text")


class CommentOutputs(Outputs):
    id: int = pin("Number of the comment.")
    url: str = pin("Address of the comment on GitHub.")


comment = operation(
    INTEGRATION,
    id="a8db4d8d-db1c-4a25-a1b0-416a8c33602b",
    name="GithubCommentBlock",
    description="Comments on an issue or pull request.",
    inputs=CommentInputs,
    outputs=CommentOutputs,
    address=ISSUE,
    call=post("/repos/{owner}/{repo}/issues/{number}/comments", body={"body": "{comment}"}),
    returns={"id": "id", "url": "html_url"},
)


class ListCommentsOutputs(Outputs):
    comment: dict[str, Any] = pin("Each comment: id, body, user and url.")
    comments: list[dict[str, Any]] = pin("All comments.")


list_comments = operation(
    INTEGRATION,
    id="c4b5fb63-0005-4a11-b35a-0c2467bd6b59",
    name="GithubListCommentsBlock",
    description="Lists the comments of an issue or pull request, the oldest first, up to 1,000.",
    inputs=IssueInputs,
    outputs=ListCommentsOutputs,
    address=ISSUE,
    call=get("/repos/{owner}/{repo}/issues/{number}/comments", paging=PageNumbers()),
    returns={"comments": items("", COMMENT), "comment": each("", COMMENT)},
)


class UpdateCommentInputs(GithubInputs):
    comment_url: str = pin(
        "Address of the comment.",
        default="",
        advanced=False,
        placeholder="https://github.com/owner/repo/issues/1#issuecomment-123",
    )
    issue_url: str = pin("Address of the issue, when only the comment's number is known.", default="")
    comment_id: str = pin("Number of the comment, together with the issue's address.", default="")
    comment: str = pin("The new text of the comment, in Markdown.", format="long-text")


@block(
    id="b3f4d747-10e3-4e69-8c51-f2be1d99c9a7",
    name="GithubUpdateCommentBlock",
    title="GitHub Update Comment",
    outputs=CommentOutputs,
    categories=("DEVELOPER_TOOLS",),
)
async def update_comment(inputs: UpdateCommentInputs, ctx: Context) -> Stream:
    """Replaces the text of a comment on an issue or pull request."""
    if inputs.issue_url and inputs.comment_id:
        place = {**ISSUE.read(inputs.issue_url), "comment_id": inputs.comment_id}
    else:
        place = COMMENT_ADDRESS.read(inputs.comment_url)
    call = patch("/repos/{owner}/{repo}/issues/comments/{comment_id}", body={"body": "{comment}"})
    changed = await Client(INTEGRATION, ctx).call(call, {**place, "comment": inputs.comment})
    yield "id", changed["id"]
    yield "url", changed["html_url"]
