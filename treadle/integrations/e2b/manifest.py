"""E2B, the provider."""

from treadle.sdk.integration import ApiKey, InHeader, Integration

INTEGRATION = Integration(
    name="e2b",
    title="E2B",
    description="Runs code of any kind in a sandbox of its own in the cloud.",
    docs="https://e2b.dev/docs",
    base_url="https://api.e2b.app",
    categories=("DEVELOPER_TOOLS",),
    auth=(
        ApiKey(
            variables=("E2B_API_KEY",),
            obtain="https://e2b.dev/dashboard?tab=keys",
            placement=InHeader("X-API-Key", prefix=""),
        ),
    ),
)
