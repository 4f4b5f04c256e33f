"""Repositories: make one, and list what is around it (releases, stargazers, discussions)."""

from typing import Any

from treadle.integrations.github.graphql import query
from treadle.integrations.github.manifest import INTEGRATION
from treadle.integrations.github.pins import REPO, GithubInputs, RepoInputs
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.client import PageNumbers, get, post
from treadle.sdk.context import Context
from treadle.sdk.operations import operation
from treadle.sdk.pins import Outputs, pin
from treadle.sdk.shapes import Shape, each, items


class CreateRepositoryInputs(GithubInputs):
    name: str = pin("Name of the repository.")
    description: str = pin("What it is for, in one sentence.", default="")
    private: bool = pin("Only you and people you invite can see it.", default=False)
    auto_init: bool = pin("Start it with a README file.", default=True)
    gitignore_template: str = pin("Start it with GitHub's ignore file for this language.", default="")


class CreateRepositoryOutputs(Outputs):
    url: str = pin("Address of the repository on GitHub.")
    clone_url: str = pin("Address from which it can be cloned.")


create_repository = operation(
    INTEGRATION,
    id="029ec3b8-1cfd-46d3-b6aa-28e4a706efd1",
    name="GithubCreateRepositoryBlock",
    description="Makes a new repository in your account.",
    inputs=CreateRepositoryInputs,
    outputs=CreateRepositoryOutputs,
    call=post(
        "/user/repos",
        body={
            "name": "{name}",
            "description": "{description}",
            "private": "{private}",
            "auto_init": "{auto_init}",
            "gitignore_template": "{gitignore_template?}",
        },
    ),
    returns={"url": "html_url", "clone_url": "clone_url"},
)


class ListReleasesOutputs(Outputs):
    release: dict[str, Any] = pin("Each release: name and url.")
    releases: list[dict[str, Any]] = pin("All releases: name and url of each.")


RELEASE: Shape = {"name": lambda release: release["name"] or release["tag_name"], "url": "html_url"}

list_releases = operation(
    INTEGRATION,
    id="3460367a-6ba7-4645-8ce6-47b05d040b92",
    name="GithubListReleasesBlock",
    description="Lists the releases of a repository, the newest first, up to 1,000.",
    inputs=RepoInputs,
    outputs=ListReleasesOutputs,
    address=REPO,
    call=get("/repos/{owner}/{repo}/releases", paging=PageNumbers()),
    returns={"releases": items("", RELEASE), "release": each("", RELEASE)},
)


class ListStargazersOutputs(Outputs):
    stargazer: dict[str, Any] = pin("Each person who starred the repository: username and url.")
    stargazers: list[dict[str, Any]] = pin("All people who starred it.")


STARGAZER: Shape = {"username": "login", "url": "html_url"}

list_stargazers = operation(
    INTEGRATION,
    id="a4b9c2d1-e5f6-4g7h-8i9j-0k1l2m3n4o5p",
    name="GithubListStargazersBlock",
    description="Lists the people who starred a repository, up to 1,000.",
    inputs=RepoInputs,
    outputs=ListStargazersOutputs,
    address=REPO,
    call=get("/repos/{owner}/{repo}/stargazers", paging=PageNumbers()),
    returns={"stargazers": items("", STARGAZER), "stargazer": each("", STARGAZER)},
)


class ListDiscussionsInputs(RepoInputs):
    num_discussions: int = pin("How many to list, at most 100.", default=5)


class ListDiscussionsOutputs(Outputs):
    discussion: dict[str, Any] = pin("Each discussion: title and url.")
    discussions: list[dict[str, Any]] = pin("All discussions: title and url of each.")


DISCUSSIONS = """
query($owner: String!, $repo: String!, $count: Int!) {
  repository(owner: $owner, name: $repo) { discussions(first: $count) { nodes { title url } } }
}
"""


@block(
    id="3ef1a419-3d76-4e07-b761-de9dad4d51d7",
    name="GithubListDiscussionsBlock",
    title="GitHub List Discussions",
    outputs=ListDiscussionsOutputs,
    categories=("DEVELOPER_TOOLS",),
    work=Work.READ,
)
async def list_discussions(inputs: ListDiscussionsInputs, ctx: Context) -> Stream:
    """Lists the newest discussions of a repository."""
    count = min(max(inputs.num_discussions, 1), 100)
    found = await query(ctx, DISCUSSIONS, {**REPO.read(inputs.repo_url), "count": count})
    discussions = found["repository"]["discussions"]["nodes"]
    yield "discussions", discussions
    for discussion in discussions:
        yield "discussion", discussion
