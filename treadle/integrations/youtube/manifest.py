"""YouTube's public pages, and the Webshare account that agents name for reading captions."""

from treadle.sdk.integration import Integration, UserPassword

INTEGRATION = Integration(
    name="webshare_proxy",
    title="Webshare Proxy",
    description="Accounts that agents name for reading YouTube captions; Treadle reads them directly.",
    docs="https://apidocs.webshare.io/",
    base_url="https://www.youtube.com",
    categories=("SOCIAL",),
    hosts=("www.youtube.com",),
    auth=(
        UserPassword(
            variables=("WEBSHARE_PROXY_USERNAME", "WEBSHARE_PROXY_PASSWORD"),
            obtain="https://dashboard.webshare.io/proxy/settings",
        ),
    ),
    error_paths=("error.message",),
)
