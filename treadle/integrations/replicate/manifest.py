"""Replicate, the provider."""

from treadle.sdk.integration import ApiKey, Integration

INTEGRATION = Integration(
    name="replicate",
    title="Replicate",
    description="Runs models that make pictures, music, video and text.",
    docs="https://replicate.com/docs/reference/http",
    base_url="https://api.replicate.com/v1",
    categories=("AI", "MULTIMEDIA"),
    auth=(
        ApiKey(
            variables=("REPLICATE_API_TOKEN", "REPLICATE_API_KEY"), obtain="https://replicate.com/account/api-tokens"
        ),
    ),
    error_paths=("detail", "title"),
)
