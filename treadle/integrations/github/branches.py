"""Branches and tags."""

from typing import Any

from treadle.integrations.github.manifest import INTEGRATION
from treadle.integrations.github.pins import REPO, RepoInputs, StatusOutputs
from treadle.sdk.block import Stream, block
from treadle.sdk.client import Client, PageNumbers, delete, get, post
from treadle.sdk.context import Context
from treadle.sdk.operations import operation
from treadle.sdk.pins import Outputs, pin
from treadle.sdk.shapes import Const, Shape, each, items


def _tree_url(ref: dict[str, Any]) -> str:
    """The page of a branch or tag; the reply only has the address of its commit: .../repos/owner/repo/commits/sha."""
    owner, repo = ref["commit"]["url"].split("/")[4:6]
    return f"https://github.com/{owner}/{repo}/tree/{ref['name']}"


REF: Shape = {"name": "name", "url": _tree_url}


class ListBranchesOutputs(Outputs):
    branch: dict[str, Any] = pin("Each branch: name and url.")
    branches: list[dict[str, Any]] = pin("All branches: name and url of each.")


list_branches = operation(
    INTEGRATION,
    id="74243e49-2bec-4916-8bf4-db43d44aead5",
    name="GithubListBranchesBlock",
    description="Lists the branches of a repository, up to 1,000.",
    inputs=RepoInputs,
    outputs=ListBranchesOutputs,
    address=REPO,
    call=get("/repos/{owner}/{repo}/branches", paging=PageNumbers()),
    returns={"branches": items("", REF), "branch": each("", REF)},
)


class ListTagsOutputs(Outputs):
    tag: dict[str, Any] = pin("Each tag: name and url.")
    tags: list[dict[str, Any]] = pin("All tags: name and url of each.")


list_tags = operation(
    INTEGRATION,
    id="358924e7-9a11-4d1a-a0f2-13c67fe59e2e",
    name="GithubListTagsBlock",
    description="Lists the tags of a repository, up to 1,000.",
    inputs=RepoInputs,
    outputs=ListTagsOutputs,
    address=REPO,
    call=get("/repos/{owner}/{repo}/tags", paging=PageNumbers()),
    returns={"tags": items("", REF), "tag": each("", REF)},
)


class MakeBranchInputs(RepoInputs):
    new_branch: str = pin("Name of the new branch.")
    source_branch: str = pin("Branch from whose last commit it starts.")


@block(
    id="944cc076-95e7-4d1b-b6b6-b15d8ee5448d",
    name="GithubMakeBranchBlock",
    title="GitHub Make Branch",
    outputs=StatusOutputs,
    categories=("DEVELOPER_TOOLS",),
)
async def make_branch(inputs: MakeBranchInputs, ctx: Context) -> Stream:
    """Makes a branch that starts at the last commit of another."""
    github, place = Client(INTEGRATION, ctx), REPO.read(inputs.repo_url)
    source = await github.call(
        get("/repos/{owner}/{repo}/git/ref/heads%2F{branch}"), {**place, "branch": inputs.source_branch}
    )
    new = {"ref": f"refs/heads/{inputs.new_branch}", "sha": source["object"]["sha"]}
    await github.call(post("/repos/{owner}/{repo}/git/refs", body={"ref": "{ref}", "sha": "{sha}"}), {**place, **new})
    yield "status", "Branch created successfully"


class DeleteBranchInputs(RepoInputs):
    branch: str = pin("Name of the branch.")


delete_branch = operation(
    INTEGRATION,
    id="0d4130f7-e0ab-4d55-adc3-0a40225e80f4",
    name="GithubDeleteBranchBlock",
    description="Deletes a branch.",
    inputs=DeleteBranchInputs,
    outputs=StatusOutputs,
    address=REPO,
    call=delete("/repos/{owner}/{repo}/git/refs/heads%2F{branch}"),
    returns={"status": Const("Branch deleted successfully")},
)
