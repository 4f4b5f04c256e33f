"""Medium, the provider."""

from treadle.sdk.integration import ApiKey, Integration

INTEGRATION = Integration(
    name="medium",
    title="Medium",
    description="Publishes articles on Medium.",
    docs="https://github.com/Medium/medium-api-docs",
    base_url="https://api.medium.com/v1",
    categories=("SOCIAL",),
    auth=(ApiKey(variables=("MEDIUM_API_KEY",), obtain="https://medium.com/me/settings/security"),),
    error_paths=("errors.0.message", "error"),
)
