"""Google Maps, the provider."""

from treadle.sdk.integration import ApiKey, InQuery, Integration

INTEGRATION = Integration(
    name="google_maps",
    title="Google Maps",
    description="Finds places with their addresses, phone numbers, ratings and web sites.",
    docs="https://developers.google.com/maps/documentation/places/web-service/legacy/search-text",
    base_url="https://maps.googleapis.com",
    categories=("SEARCH",),
    auth=(
        ApiKey(
            variables=("GOOGLE_MAPS_API_KEY",),
            obtain="https://console.cloud.google.com/google/maps-apis/credentials",
            placement=InQuery("key"),
        ),
    ),
    error_paths=("error_message", "error.message"),
)
