"""GitHub, the provider."""

from treadle.sdk.integration import ApiKey, Integration, OAuth2

INTEGRATION = Integration(
    name="github",
    title="GitHub",
    description="Works on issues, pull requests, reviews, files and checks of GitHub repositories.",
    docs="https://docs.github.com/en/rest",
    base_url="https://api.github.com",
    categories=("DEVELOPER_TOOLS",),
    headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
    auth=(
        ApiKey(variables=("GITHUB_TOKEN", "GH_TOKEN"), obtain="https://github.com/settings/tokens"),
        OAuth2(
            authorize_url="https://github.com/login/oauth/authorize",
            token_url="https://github.com/login/oauth/access_token",
            client_variables=("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"),
            scopes={
                "repo": "Read and change your repositories, their issues and pull requests",
                "repo:status": "Read and set the status of commits",
                "admin:repo_hook": "Add and remove webhooks of your repositories",
            },
        ),
    ),
)
