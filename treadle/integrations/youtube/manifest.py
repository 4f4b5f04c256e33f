"""YouTube's public pages, read directly or through the addresses of a Webshare account."""

from treadle.sdk.http_proxy import HttpProxy
from treadle.sdk.integration import Integration, UserPassword

INTEGRATION = Integration(
    name="webshare_proxy",
    title="Webshare Proxy",
    description="Reads YouTube captions from changing addresses, where YouTube blocks one's own.",
    docs="https://apidocs.webshare.io/",
    base_url="https://www.youtube.com",
    categories=("SOCIAL",),
    hosts=("www.youtube.com",),
    proxy=HttpProxy("p.webshare.io", 80, username_suffix="-rotate"),
    auth=(
        UserPassword(
            variables=("WEBSHARE_PROXY_USERNAME", "WEBSHARE_PROXY_PASSWORD"),
            obtain="https://dashboard.webshare.io/proxy/settings",
        ),
    ),
    error_paths=("error.message",),
)
