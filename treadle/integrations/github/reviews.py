"""Reviews of pull requests and the discussions in them."""

from typing import Any, Literal

from pydantic import BaseModel

from treadle.integrations.github.graphql import query
from treadle.integrations.github.manifest import INTEGRATION
from treadle.integrations.github.pins import GithubInputs, repository
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.client import Client, PageNumbers, get, post
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.operations import operation, values_of
from treadle.sdk.pins import Outputs, pin
from treadle.sdk.shapes import Or, Shape, each, items

REPO = repository("repo")
Event = Literal["COMMENT", "APPROVE", "REQUEST_CHANGES"]


class ReviewComment(BaseModel):
    """A comment on one place of the changes."""

    path: str
    body: str
    position: int | None = None
    line: int | None = None
    side: str | None = None
    start_line: int | None = None
    start_side: str | None = None


class ReviewInputs(GithubInputs):
    """Blocks about the reviews of a pull request."""

    repo: str = pin("The repository, as owner/repo or its address.", placeholder="owner/repo")
    pr_number: int = pin("Number of the pull request.")


class CreateReviewInputs(ReviewInputs):
    body: str = pin("Text of the review, in Markdown.", format="long-text")
    event: Event = pin("What the review says.", default="COMMENT")
    create_as_draft: bool = pin("Leave it pending, to be submitted later.", default=False, advanced=False)
    comments: list[ReviewComment] | None = pin("Comments on single lines.", default=None)


class CreateReviewOutputs(Outputs):
    review_id: int = pin("Number of the review.")
    state: str = pin("State of the review.")
    html_url: str = pin("Address of the review on GitHub.")


def _review(values: dict[str, Any]) -> dict[str, Any]:
    """A draft has no event; the comments are sent without what they leave open."""
    comments = [comment.model_dump(exclude_none=True) for comment in values["comments"] or []]
    return {"verdict": None if values["create_as_draft"] else values["event"], "remarks": comments}


create_review = operation(
    INTEGRATION,
    id="84754b30-97d2-4c37-a3b8-eb39f268275b",
    name="GithubCreatePRReviewBlock",
    description="Reviews a pull request: a comment, an approval or a request for changes, or a draft of these.",
    inputs=CreateReviewInputs,
    outputs=CreateReviewOutputs,
    address=REPO,
    prepare=_review,
    prepares=("verdict", "remarks"),
    call=post(
        "/repos/{owner}/{repo}/pulls/{pr_number}/reviews",
        body={"body": "{body}", "event": "{verdict}", "comments": "{remarks?}"},
    ),
    returns={"review_id": "id", "state": "state", "html_url": "html_url"},
)


class ListReviewsOutputs(Outputs):
    review: dict[str, Any] = pin("Each review: id, user, state, body and html_url.")
    reviews: list[dict[str, Any]] = pin("All reviews.")


REVIEW: Shape = {
    "id": "id",
    "user": Or("user.login", "ghost"),
    "state": "state",
    "body": Or("body", ""),
    "html_url": "html_url",
}

list_reviews = operation(
    INTEGRATION,
    id="f79bc6eb-33c0-4099-9c0f-d664ae1ba4d0",
    name="GithubListPRReviewsBlock",
    description="Lists the reviews of a pull request, the oldest first.",
    inputs=ReviewInputs,
    outputs=ListReviewsOutputs,
    address=REPO,
    call=get("/repos/{owner}/{repo}/pulls/{pr_number}/reviews", paging=PageNumbers()),
    returns={"reviews": items("", REVIEW), "review": each("", REVIEW)},
)


class SubmitReviewInputs(ReviewInputs):
    review_id: int = pin("Number of the pending review.")
    event: Event = pin("What the review says.", default="COMMENT")


class SubmitReviewOutputs(Outputs):
    state: str = pin("State of the review.")
    html_url: str = pin("Address of the review on GitHub.")


submit_review = operation(
    INTEGRATION,
    id="2e468217-7ca0-4201-9553-36e93eb9357a",
    name="GithubSubmitPendingReviewBlock",
    description="Submits a review that was left pending.",
    inputs=SubmitReviewInputs,
    outputs=SubmitReviewOutputs,
    address=REPO,
    call=post(
        "/repos/{owner}/{repo}/pulls/{pr_number}/reviews/{review_id}/events",
        body={"event": "{event}"},
    ),
    returns={"state": "state", "html_url": "html_url"},
)


class ReviewCommentsInputs(ReviewInputs):
    review_id: int | None = pin("Only the comments of this review.", default=None)


class ReviewCommentsOutputs(Outputs):
    comment: dict[str, Any] = pin("Each comment: id, user, body, path, line, side, times, in_reply_to_id, html_url.")
    comments: list[dict[str, Any]] = pin("All comments.")


def _comment(found: dict[str, Any]) -> dict[str, Any]:
    """A comment on changes that are gone has no line any more, only the one that it had."""
    same = ("id", "body", "path", "created_at", "updated_at", "in_reply_to_id", "html_url")
    line = found.get("line") or found.get("original_line") or 0
    user = (found.get("user") or {}).get("login", "ghost")
    return {**{name: found.get(name) for name in same}, "user": user, "line": line, "side": found.get("side") or ""}


@block(
    id="1d34db7f-10c1-45c1-9d43-749f743c8bd4",
    name="GithubGetPRReviewCommentsBlock",
    title="GitHub Get PR Review Comments",
    outputs=ReviewCommentsOutputs,
    categories=("DEVELOPER_TOOLS",),
    work=Work.READ,
)
async def review_comments(inputs: ReviewCommentsInputs, ctx: Context) -> Stream:
    """Lists the comments on the changes of a pull request: all of them, or those of one review."""
    part = "/comments" if inputs.review_id is None else "/reviews/{review_id}/comments"
    call = get("/repos/{owner}/{repo}/pulls/{pr_number}" + part, paging=PageNumbers())
    found = await Client(INTEGRATION, ctx).call(call, {**values_of(inputs), **REPO.read(inputs.repo)})
    comments = [_comment(each) for each in found]
    yield "comments", comments
    for comment in comments:
        yield "comment", comment


class ResolveInputs(ReviewInputs):
    comment_id: int = pin("Number of any comment of the discussion.")
    resolve: bool = pin("Off takes the discussion up again.", default=True)


class ResolveOutputs(Outputs):
    success: bool = pin("True when it is done.")


THREADS = """
query($owner: String!, $repo: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $repo) {
    pullRequest(number: $number) {
      reviewThreads(first: 50, after: $after) {
        nodes { id comments(first: 100) { nodes { databaseId } } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}
"""
RESOLVE = "mutation($thread: ID!) { resolveReviewThread(input: {threadId: $thread}) { thread { isResolved } } }"
UNRESOLVE = "mutation($thread: ID!) { unresolveReviewThread(input: {threadId: $thread}) { thread { isResolved } } }"


@block(
    id="b4b8a38c-95ae-4c91-9ef8-c2cffaf2b5d1",
    name="GithubResolveReviewDiscussionBlock",
    title="GitHub Resolve Review Discussion",
    outputs=ResolveOutputs,
    categories=("DEVELOPER_TOOLS",),
)
async def resolve_discussion(inputs: ResolveInputs, ctx: Context) -> Stream:
    """Marks a discussion of a review as resolved, or takes it up again."""
    thread = await _thread_of(inputs, ctx)
    await query(ctx, RESOLVE if inputs.resolve else UNRESOLVE, {"thread": thread})
    yield "success", True


async def _thread_of(inputs: ResolveInputs, ctx: Context) -> str:
    """The id of the discussion that has the comment; REST does not know discussions."""
    place = REPO.read(inputs.repo)
    after: str | None = None
    for _ in range(20):
        found = await query(ctx, THREADS, {**place, "number": inputs.pr_number, "after": after})
        threads = found["repository"]["pullRequest"]["reviewThreads"]
        for thread in threads["nodes"]:
            if any(comment["databaseId"] == inputs.comment_id for comment in thread["comments"]["nodes"]):
                return str(thread["id"])
        if not threads["pageInfo"]["hasNextPage"]:
            break
        after = threads["pageInfo"]["endCursor"]
    raise BlockError(
        f"Pull request {inputs.pr_number} has no discussion with comment {inputs.comment_id}",
        fix="Take comment_id from the Get PR Review Comments block.",
    )
