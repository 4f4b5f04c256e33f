"""Holds requests against the API descriptions that providers publish. They are third-party data beside the checkout."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

from tests.integrations.replay import Seen

DESCRIPTIONS = {"google_maps": "google-maps"}
"""Names of descriptions that differ from the integration's folder."""

SERVERS = {"google-maps": {"maps.googleapis.com": "www.googleapis.com"}}
"""Hosts that the description gives under another name."""


def problems(shared: Path, provider: str, request: Seen) -> list[str]:
    """What the provider's description says against the request."""
    name = DESCRIPTIONS.get(provider, provider)
    parts = urlsplit(request.url)
    host = SERVERS.get(name, {}).get(parts.netloc, parts.netloc)
    url = urlunsplit(parts._replace(netloc=host))
    found: list[str] = (
        _checker(shared).load(name).check(request.method, url, headers=request.headers, json=request.json)
    )
    return found


@lru_cache(1)
def _checker(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("speccheck", shared / "specs" / "speccheck.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
