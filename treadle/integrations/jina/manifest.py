"""Jina, the provider."""

from treadle.sdk.integration import ApiKey, Integration

INTEGRATION = Integration(
    name="jina",
    title="Jina",
    description="Searches the web, reads pages as text, checks facts, and makes embeddings.",
    docs="https://docs.jina.ai/",
    base_url="https://api.jina.ai",
    categories=("SEARCH",),
    hosts=("api.jina.ai", "r.jina.ai", "s.jina.ai", "g.jina.ai"),
    auth=(ApiKey(variables=("JINA_API_KEY",), obtain="https://jina.ai/api-dashboard/key-manager"),),
    error_paths=("readableMessage", "message", "detail", "detail.0.msg"),
)
