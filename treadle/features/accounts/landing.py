"""Where a browser lands after it was elsewhere: only on pages that the operator knows, with what it comes back with."""

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit, urlunsplit

from treadle.features.accounts.sessions import SignedIn


class Landing:
    """The pages of an install. ``url`` is its own address; ``origins`` those of the operator's other pages."""

    def __init__(self, url: str, origins: frozenset[str]) -> None:
        self.url = url
        self._origins = frozenset({_origin(url), *origins})

    def page(self, wanted: str | None, otherwise: str = "/") -> str:
        """The page that was asked for if it is one of these, else ``otherwise`` on our own address."""
        if not wanted or any(each <= " " or each == "\\" for each in wanted):
            return self.url + otherwise
        if wanted.startswith("/") and not wanted.startswith("//"):
            return self.url + wanted
        return wanted if _origin(wanted) in self._origins else self.url + otherwise


def with_query(page: str, more: Mapping[str, str]) -> str:
    """The page with more in its query."""
    parts = urlsplit(page)
    query = "&".join(filter(None, (parts.query, urlencode(more))))
    return urlunsplit(parts._replace(query=query))


def with_fragment(page: str, values: Mapping[str, str]) -> str:
    """The page with values behind the ``#``, which browsers send to no server."""
    return urlunsplit(urlsplit(page)._replace(fragment=urlencode(values)))


def with_session(page: str, signed_in: SignedIn, kind: str) -> str:
    """The page with a session behind the ``#``, as the clients of Supabase Auth read it."""
    values = {
        "access_token": signed_in.access_token,
        "expires_at": str(signed_in.expires_at),
        "expires_in": str(signed_in.expires_in),
        "refresh_token": signed_in.refresh_token,
        "token_type": "bearer",
        "type": kind,
    }
    return with_fragment(page, {name: value for name, value in values.items() if value})


def _origin(address: str) -> str:
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"
