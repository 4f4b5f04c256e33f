"""Issues: make, read, list, label and assign them. GitHub counts pull requests as issues here."""

from typing import Any

from treadle.integrations.github.manifest import INTEGRATION
from treadle.integrations.github.pins import (
    ISSUE,
    REPO,
    CreatedOutputs,
    IssueInputs,
    RepoInputs,
    StatusOutputs,
)
from treadle.sdk.client import PageNumbers, delete, get, post
from treadle.sdk.operations import operation
from treadle.sdk.pins import Outputs, pin
from treadle.sdk.shapes import Const, Or, each, items

SUMMARY = {"title": "title", "url": "html_url"}


class MakeIssueInputs(RepoInputs):
    title: str = pin("Title of the issue.")
    body: str = pin("Text of the issue, in Markdown.", format="long-text")


make_issue = operation(
    INTEGRATION,
    id="691dad47-f494-44c3-a1e8-05b7990f2dab",
    name="GithubMakeIssueBlock",
    description="Opens a new issue in a repository.",
    inputs=MakeIssueInputs,
    outputs=CreatedOutputs,
    address=REPO,
    call=post("/repos/{owner}/{repo}/issues", body={"title": "{title}", "body": "{body}"}),
    returns={"number": "number", "url": "html_url"},
)


class ReadIssueOutputs(Outputs):
    title: str = pin("Title of the issue.")
    body: str = pin("Text of the issue, in Markdown.")
    user: str = pin("Who opened it.")


read_issue = operation(
    INTEGRATION,
    id="6443c75d-032a-4772-9c08-230c707c8acc",
    name="GithubReadIssueBlock",
    description="Reads the title, the text and the author of an issue.",
    inputs=IssueInputs,
    outputs=ReadIssueOutputs,
    address=ISSUE,
    call=get("/repos/{owner}/{repo}/issues/{number}"),
    returns={"title": "title", "body": Or("body", ""), "user": Or("user.login", "ghost")},
)


class ListIssuesOutputs(Outputs):
    issue: dict[str, Any] = pin("Each issue: title and url.")
    issues: list[dict[str, Any]] = pin("All issues: title and url of each.")


list_issues = operation(
    INTEGRATION,
    id="c215bfd7-0e57-4573-8f8c-f7d4963dcd74",
    name="GithubListIssuesBlock",
    description="Lists the open issues of a repository, the newest first, up to 1,000.",
    inputs=RepoInputs,
    outputs=ListIssuesOutputs,
    address=REPO,
    call=get("/repos/{owner}/{repo}/issues", paging=PageNumbers()),
    returns={"issues": items("", SUMMARY), "issue": each("", SUMMARY)},
)


class LabelInputs(IssueInputs):
    label: str = pin("Name of the label.")


add_label = operation(
    INTEGRATION,
    id="98bd6b77-9506-43d5-b669-6b9733c4b1f1",
    name="GithubAddLabelBlock",
    description="Puts a label on an issue or pull request.",
    inputs=LabelInputs,
    outputs=StatusOutputs,
    address=ISSUE,
    call=post("/repos/{owner}/{repo}/issues/{number}/labels", body={"labels": ["{label}"]}),
    returns={"status": Const("Label added successfully")},
)

remove_label = operation(
    INTEGRATION,
    id="78f050c5-3e3a-48c0-9e5b-ef1ceca5589c",
    name="GithubRemoveLabelBlock",
    description="Takes a label off an issue or pull request.",
    inputs=LabelInputs,
    outputs=StatusOutputs,
    address=ISSUE,
    call=delete("/repos/{owner}/{repo}/issues/{number}/labels/{label}"),
    returns={"status": Const("Label removed successfully")},
)


class AssigneeInputs(IssueInputs):
    assignee: str = pin("User name on GitHub.")


assign_issue = operation(
    INTEGRATION,
    id="90507c72-b0ff-413a-886a-23bbbd66f542",
    name="GithubAssignIssueBlock",
    description="Assigns a person to an issue.",
    inputs=AssigneeInputs,
    outputs=StatusOutputs,
    address=ISSUE,
    call=post("/repos/{owner}/{repo}/issues/{number}/assignees", body={"assignees": ["{assignee}"]}),
    returns={"status": Const("Issue assigned successfully")},
)

unassign_issue = operation(
    INTEGRATION,
    id="d154002a-38f4-46c2-962d-2488f2b05ece",
    name="GithubUnassignIssueBlock",
    description="Takes a person off an issue.",
    inputs=AssigneeInputs,
    outputs=StatusOutputs,
    address=ISSUE,
    call=delete("/repos/{owner}/{repo}/issues/{number}/assignees", body={"assignees": ["{assignee}"]}),
    returns={"status": Const("Issue unassigned successfully")},
)
