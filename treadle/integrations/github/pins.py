"""Pins and addresses that many of the GitHub blocks share."""

from treadle.integrations.github.manifest import INTEGRATION
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.provider_urls import Address

HOSTS = ("github.com", "www.github.com")


class GithubInputs(Inputs):
    """Every GitHub block acts for an account."""

    credentials: CredentialsRef = INTEGRATION.pin("repo")


class RepoInputs(GithubInputs):
    """Blocks about a repository."""

    repo_url: str = pin("Address of the repository.", placeholder="https://github.com/owner/repo")


class IssueInputs(GithubInputs):
    """Blocks about an issue or a pull request, which GitHub counts as an issue too."""

    issue_url: str = pin("Address of the issue or pull request.", placeholder="https://github.com/owner/repo/issues/1")


class PullInputs(GithubInputs):
    """Blocks about a pull request."""

    pr_url: str = pin("Address of the pull request.", placeholder="https://github.com/owner/repo/pull/1")


class StatusOutputs(Outputs):
    """What blocks send that have nothing to show but success."""

    status: str = pin("Says that it is done.")


class CreatedOutputs(Outputs):
    """A new issue or pull request."""

    number: int = pin("Its number in the repository.")
    url: str = pin("Its address on GitHub.")


def repository(name: str) -> Address:
    """A pin that names a repository, by its address or as ``owner/repo``."""
    return Address(
        pin=name,
        hosts=HOSTS,
        paths=("/{owner}/{repo}.git", "/{owner}/{repo}", "/{owner}/{repo}/*"),
        plain=("{owner}/{repo}",),
        example="https://github.com/owner/repo",
    )


REPO = repository("repo_url")
ISSUE = Address(
    pin="issue_url",
    hosts=HOSTS,
    paths=("/{owner}/{repo}/issues/{number:int}/*", "/{owner}/{repo}/pull/{number:int}/*"),
    example="https://github.com/owner/repo/issues/1",
)
PULL = Address(
    pin="pr_url",
    hosts=HOSTS,
    paths=("/{owner}/{repo}/pull/{number:int}/*",),
    example="https://github.com/owner/repo/pull/1",
)
