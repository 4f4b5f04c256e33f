"""Tokens of a Supabase project: signed with its keys, or in older projects with a secret that it shares with us."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from treadle.base.clock import Clock
from treadle.features.accounts.errors import ElsewhereFailed
from treadle.features.accounts.providers.asking import asked
from treadle.features.accounts.remote_keys import RemoteKeys
from treadle.features.accounts.tokens import Issuer
from treadle.sdk.context import Http


class SupabaseKeys:
    """The keys of a project (``KeySource``). ``issuer`` is the address of its interface for signing in."""

    def __init__(self, http: Http, issuer: str, secret: SecretStr, clock: Clock) -> None:
        self._http = http
        self._issuer = issuer
        self._secret = secret.get_secret_value().encode()
        self._published = RemoteKeys(self._ask, urlsplit(issuer).netloc, clock)

    async def key_for(self, header: Mapping[str, Any]) -> tuple[Any, str] | None:
        # What a token asks for only says where to look: the secret is for HS256 alone, and a key for its own algorithm.
        if header.get("alg") == "HS256":
            return (self._secret, "HS256") if self._secret else None
        kid = header.get("kid")
        found = await self._published.get(kid) if isinstance(kid, str) and kid else None
        return None if found is None else (found.key, found.algorithm)

    async def _ask(self) -> Any:
        status, answer = await asked(self._http, "GET", f"{self._issuer}/.well-known/jwks.json")
        if status != 200:
            raise ElsewhereFailed(urlsplit(self._issuer).netloc, f"it gives out no keys: status {status}")
        return answer


def supabase_project(http: Http, url: str, secret: SecretStr, clock: Clock) -> Issuer:
    """The project at an address, as somebody whose tokens are accepted."""
    issuer = f"{url}/auth/v1"
    return Issuer(issuer, SupabaseKeys(http, issuer, secret, clock))
