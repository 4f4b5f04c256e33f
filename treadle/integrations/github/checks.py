"""Checks and statuses of commits: set them, and read how a commit did."""

from collections.abc import Iterator
from typing import Any, Literal

from treadle.integrations.github.manifest import INTEGRATION
from treadle.integrations.github.pins import REPO, GithubInputs, RepoInputs, repository
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.client import Client, PageNumbers, get, patch, post
from treadle.sdk.context import Context
from treadle.sdk.credentials import AuthKind, CredentialsRef
from treadle.sdk.errors import InputRefused
from treadle.sdk.operations import operation
from treadle.sdk.pins import Outputs, pin

CheckStatus = Literal["queued", "in_progress", "completed", "waiting", "requested", "pending"]
Conclusion = Literal["success", "failure", "neutral", "cancelled", "timed_out", "action_required", "skipped"]
ONLY_APPS = "GitHub lets only GitHub Apps set check runs; use the Create Status block."


class StatusInputs(RepoInputs):
    credentials: CredentialsRef = INTEGRATION.pin("repo:status", kinds=(AuthKind.API_KEY,))
    sha: str = pin("Hash of the commit.")
    state: Literal["error", "failure", "pending", "success"] = pin("How the commit did.")
    target_url: str | None = pin("Page with the details.", default=None)
    description: str | None = pin("What to say in one line.", default=None)
    check_name: str | None = pin(
        "Name under which the status is shown.", default="AutoGPT Platform Checks", advanced=False
    )


class StatusObjectOutputs(Outputs):
    status: dict[str, Any] = pin("The status: id, url, state, context, description, target_url and times.")


STATUS = {
    name: name for name in ("id", "url", "state", "context", "description", "target_url", "created_at", "updated_at")
}

create_status = operation(
    INTEGRATION,
    id="3d67f123-a4b5-4c89-9d01-2e34f5c67890",
    name="GithubCreateStatusBlock",
    description="Sets a status on a commit, as a check of your own.",
    inputs=StatusInputs,
    outputs=StatusObjectOutputs,
    address=REPO,
    call=post(
        "/repos/{owner}/{repo}/statuses/{sha}",
        body={
            "state": "{state}",
            "target_url": "{target_url?}",
            "description": "{description?}",
            "context": "{check_name?}",
        },
    ),
    returns={"status": STATUS},
)


class CreateCheckInputs(RepoInputs):
    credentials: CredentialsRef = INTEGRATION.pin("repo:status")
    name: str = pin("Name of the check.")
    head_sha: str = pin("Hash of the commit.")
    status: CheckStatus = pin("How far it is.", default="queued")
    conclusion: Conclusion | None = pin("How it ended; needed once it is completed.", default=None)
    details_url: str = pin("Page with the details.", default="")
    output_title: str = pin("Title of the report.", default="")
    output_summary: str = pin("Summary of the report, in Markdown.", default="")
    output_text: str = pin("Text of the report, in Markdown.", default="")


class CheckOutputs(Outputs):
    check_run: dict[str, Any] = pin("The check run: id, html_url, status and, once it has ended, conclusion.")


OUTPUT = {"title": "{output_title?}", "summary": "{output_summary?}", "text": "{output_text?}"}
RESULT = {"status": "{status}", "conclusion": "{conclusion}", "output": OUTPUT}

create_check_run = operation(
    INTEGRATION,
    id="2f45e89a-3b7d-4f22-b89e-6c4f5c7e1234",
    name="GithubCreateCheckRunBlock",
    description="Starts a check run on a commit.",
    disabled=ONLY_APPS,
    inputs=CreateCheckInputs,
    outputs=CheckOutputs,
    address=REPO,
    call=post(
        "/repos/{owner}/{repo}/check-runs",
        body={"name": "{name}", "head_sha": "{head_sha}", "details_url": "{details_url?}", **RESULT},
    ),
    returns={"check_run": {"id": "id", "html_url": "html_url", "status": "status"}},
)


class UpdateCheckInputs(RepoInputs):
    credentials: CredentialsRef = INTEGRATION.pin("repo:status")
    check_run_id: int = pin("Number of the check run.")
    status: CheckStatus = pin("How far it is.")
    conclusion: Conclusion = pin("How it ended.")
    output_title: str | None = pin("Title of the report.", default=None)
    output_summary: str | None = pin("Summary of the report, in Markdown.", default=None)
    output_text: str | None = pin("Text of the report, in Markdown.", default=None)


update_check_run = operation(
    INTEGRATION,
    id="8a23c567-9d01-4e56-b789-0c12d3e45678",
    name="GithubUpdateCheckRunBlock",
    description="Changes a check run of a commit.",
    disabled=ONLY_APPS,
    inputs=UpdateCheckInputs,
    outputs=CheckOutputs,
    address=REPO,
    call=patch("/repos/{owner}/{repo}/check-runs/{check_run_id}", body=RESULT),
    returns={"check_run": {"id": "id", "html_url": "html_url", "status": "status", "conclusion": "conclusion"}},
)


class ResultsInputs(GithubInputs):
    repo: str = pin("The repository, as owner/repo or its address.", placeholder="owner/repo")
    target: str | int = pin("Hash of a commit, name of a branch, or number of a pull request.")
    search_pattern: str | None = pin("Regular expression to look for in the reports.", default=None)
    check_name_filter: str | None = pin("Only checks whose name contains this; * stands for anything.", default=None)


class ResultsOutputs(Outputs):
    check_run: dict[str, Any] = pin("Each check run with its report.")
    check_runs: list[dict[str, Any]] = pin("All check runs.")
    matched_line: dict[str, Any] = pin("Each line that matches: check_name, line_number, line and context.")
    matched_lines: list[dict[str, Any]] = pin("All lines that match.")
    overall_status: str = pin("completed, or pending while a check is under way.")
    overall_conclusion: str = pin("success or failure, or the status while it is not completed.")
    total_checks: int = pin("How many checks there are.")
    passed_checks: int = pin("How many of them passed.")
    failed_checks: int = pin("How many of them failed.")


TARGET_REPO = repository("repo")
PASSED = ("success", "neutral", "skipped")
FAILED = ("failure", "cancelled", "timed_out", "action_required", "startup_failure", "stale")


@block(
    id="8ad9e103-78f2-4fdb-ba12-3571f2c95e98",
    name="GithubGetCIResultsBlock",
    title="GitHub Get CI Results",
    outputs=ResultsOutputs,
    categories=("DEVELOPER_TOOLS",),
    work=Work.READ,
)
async def ci_results(inputs: ResultsInputs, ctx: Context) -> Stream:
    """Reads how the checks of a commit, branch or pull request did, and looks for a pattern in their reports."""
    pattern = _compiled(inputs.search_pattern)
    runs = [run async for run in _check_runs(inputs, ctx)]
    yield "check_runs", runs
    for run in runs:
        yield "check_run", run
    if pattern is not None:
        lines = [line for run in runs for line in _matches(run, pattern)]
        yield "matched_lines", lines
        for line in lines:
            yield "matched_line", line
    for emission in _overall(runs).items():
        yield emission


async def _check_runs(inputs: ResultsInputs, ctx: Context) -> Any:
    github, place = Client(INTEGRATION, ctx), TARGET_REPO.read(inputs.repo)
    ref = str(inputs.target).strip()
    if ref.isdigit() and len(ref) < 10:
        pull = await github.call(get("/repos/{owner}/{repo}/pulls/{number}"), {**place, "number": ref})
        ref = pull["head"]["sha"]
    paging = PageNumbers(items="check_runs")
    async for found in github.pages(
        get("/repos/{owner}/{repo}/commits/{ref}/check-runs", paging=paging), {**place, "ref": ref}
    ):
        if _wanted(found["name"], inputs.check_name_filter):
            yield await _check_run(found, github, place)


def _wanted(name: str, wish: str | None) -> bool:
    """Whether all parts between the stars of ``wish`` are in ``name``, in this order."""
    position, lower = 0, name.lower()
    for part in (wish or "").lower().split("*"):
        found = lower.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return True


async def _check_run(found: dict[str, Any], github: Client, place: dict[str, str]) -> dict[str, Any]:
    report = found.get("output") or {}
    annotations: list[Any] = []
    if report.get("annotations_count"):
        call = get("/repos/{owner}/{repo}/check-runs/{id}/annotations", paging=PageNumbers(most=300))
        annotations = await github.call(call, {**place, "id": found["id"]})
    same = ("id", "name", "status", "conclusion", "started_at", "completed_at", "html_url", "details_url")
    return {
        **{name: found.get(name) for name in same},
        **{f"output_{name}": report.get(name) for name in ("title", "summary", "text")},
        "annotations": annotations,
    }


def _compiled(pattern: str | None) -> Any:
    """The pattern for a matcher that takes linear time, whatever people write."""
    if not pattern:
        return None
    import re2  # noqa: PLC0415

    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise InputRefused({"search_pattern": f"not a regular expression: {error}"}) from error


def _matches(run: dict[str, Any], pattern: Any) -> Iterator[dict[str, Any]]:
    texts = [run["output_title"], run["output_summary"], run["output_text"]]
    texts += [annotation.get("message") for annotation in run["annotations"]]
    lines = "\n".join(text for text in texts if text).splitlines()
    for number, line in enumerate(lines):
        if pattern.search(line):
            context = lines[max(0, number - 3) : number + 4]
            yield {"check_name": run["name"], "line_number": number + 1, "line": line, "context": context}


def _overall(runs: list[dict[str, Any]]) -> dict[str, Any]:
    passed = sum(run["conclusion"] in PASSED for run in runs)
    failed = sum(run["conclusion"] in FAILED for run in runs)
    status = "completed" if all(run["status"] == "completed" for run in runs) else "pending"
    conclusion = "failure" if failed else "success" if status == "completed" else status
    return {
        "overall_status": status,
        "overall_conclusion": "no_checks" if not runs else conclusion,
        "total_checks": len(runs),
        "passed_checks": passed,
        "failed_checks": failed,
    }
