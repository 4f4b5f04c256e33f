"""Pull requests: make, read and list them, and ask for reviewers."""

from typing import Any

from treadle.integrations.github.manifest import INTEGRATION
from treadle.integrations.github.pins import PULL, REPO, CreatedOutputs, PullInputs, RepoInputs, StatusOutputs
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.client import Client, PageNumbers, delete, get, post
from treadle.sdk.context import Context
from treadle.sdk.operations import operation
from treadle.sdk.pins import Outputs, pin
from treadle.sdk.shapes import Const, each, items

SUMMARY = {"title": "title", "url": "html_url"}
REVIEWER = {"username": "login", "url": "html_url"}


class MakePullRequestInputs(RepoInputs):
    title: str = pin("Title of the pull request.")
    body: str = pin("Text of the pull request, in Markdown.", format="long-text")
    head: str = pin("Branch with the changes; owner:branch when it is in another fork.")
    base: str = pin("Branch into which the changes go.")


make_pull_request = operation(
    INTEGRATION,
    id="dfb987f8-f197-4b2e-bf19-111812afd692",
    name="GithubMakePullRequestBlock",
    description="Opens a pull request from one branch into another.",
    inputs=MakePullRequestInputs,
    outputs=CreatedOutputs,
    address=REPO,
    call=post(
        "/repos/{owner}/{repo}/pulls",
        body={"title": "{title}", "body": "{body}", "head": "{head}", "base": "{base}"},
    ),
    returns={"number": "number", "url": "html_url"},
)


class ReadPullRequestInputs(PullInputs):
    include_pr_changes: bool = pin("Also give the changed lines.", default=False, advanced=False)


class ReadPullRequestOutputs(Outputs):
    title: str = pin("Title of the pull request.")
    body: str = pin("Text of the pull request, in Markdown.")
    author: str = pin("Who opened it.")
    changes: str = pin("The changed lines, file by file; only when asked for.")


@block(
    id="bf94b2a4-1a30-4600-a783-a8a44ee31301",
    name="GithubReadPullRequestBlock",
    title="GitHub Read Pull Request",
    outputs=ReadPullRequestOutputs,
    categories=("DEVELOPER_TOOLS",),
    work=Work.READ,
)
async def read_pull_request(inputs: ReadPullRequestInputs, ctx: Context) -> Stream:
    """Reads the title, the text and the author of a pull request, and its changes when asked for."""
    github, place = Client(INTEGRATION, ctx), PULL.read(inputs.pr_url)
    found = await github.call(get("/repos/{owner}/{repo}/pulls/{number}"), place)
    yield "title", found["title"]
    yield "body", found["body"] or ""
    yield "author", (found["user"] or {}).get("login", "ghost")
    if inputs.include_pr_changes:
        files = await github.call(get("/repos/{owner}/{repo}/pulls/{number}/files", paging=PageNumbers()), place)
        yield "changes", "\n\n".join(_changes(file) for file in files)


def _changes(file: dict[str, Any]) -> str:
    """The changes of one file; GitHub gives no lines for binary and very long files."""
    return f"File: {file['filename']} ({file['status']})\n{file.get('patch', '(no lines to show)')}"


class ListPullRequestsOutputs(Outputs):
    pull_request: dict[str, Any] = pin("Each pull request: title and url.")
    pull_requests: list[dict[str, Any]] = pin("All pull requests: title and url of each.")


list_pull_requests = operation(
    INTEGRATION,
    id="ffef3c4c-6cd0-48dd-817d-459f975219f4",
    name="GithubListPullRequestsBlock",
    description="Lists the open pull requests of a repository, the newest first, up to 1,000.",
    inputs=RepoInputs,
    outputs=ListPullRequestsOutputs,
    address=REPO,
    call=get("/repos/{owner}/{repo}/pulls", paging=PageNumbers()),
    returns={"pull_requests": items("", SUMMARY), "pull_request": each("", SUMMARY)},
)


class ReviewerInputs(PullInputs):
    reviewer: str = pin("User name on GitHub.")


assign_reviewer = operation(
    INTEGRATION,
    id="c0d22c5e-e688-43e3-ba43-d5faba7927fd",
    name="GithubAssignPRReviewerBlock",
    description="Asks a person to review a pull request.",
    inputs=ReviewerInputs,
    outputs=StatusOutputs,
    address=PULL,
    call=post("/repos/{owner}/{repo}/pulls/{number}/requested_reviewers", body={"reviewers": ["{reviewer}"]}),
    returns={"status": Const("Reviewer assigned successfully")},
)

unassign_reviewer = operation(
    INTEGRATION,
    id="9637945d-c602-4875-899a-9c22f8fd30de",
    name="GithubUnassignPRReviewerBlock",
    description="Withdraws the request that a person review a pull request.",
    inputs=ReviewerInputs,
    outputs=StatusOutputs,
    address=PULL,
    call=delete("/repos/{owner}/{repo}/pulls/{number}/requested_reviewers", body={"reviewers": ["{reviewer}"]}),
    returns={"status": Const("Reviewer unassigned successfully")},
)


class ListReviewersOutputs(Outputs):
    reviewer: dict[str, Any] = pin("Each person who was asked: username and url.")
    reviewers: list[dict[str, Any]] = pin("All people who were asked.")


list_reviewers = operation(
    INTEGRATION,
    id="2646956e-96d5-4754-a3df-034017e7ed96",
    name="GithubListPRReviewersBlock",
    description="Lists the people who were asked to review a pull request and have not yet done so.",
    inputs=PullInputs,
    outputs=ListReviewersOutputs,
    address=PULL,
    call=get("/repos/{owner}/{repo}/pulls/{number}/requested_reviewers"),
    returns={"reviewers": items("users", REVIEWER), "reviewer": each("users", REVIEWER)},
)
