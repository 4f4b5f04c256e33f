"""Public keys that somebody else publishes (JWKS, RFC 7517): fetched when they are first needed, and not often."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.base.clock import Clock
from treadle.features.accounts.errors import ElsewhereFailed, KeysUnavailable

_FRESH_SECONDS = 600.0
"""After that they are fetched anew: a key that was withdrawn is good no longer than this."""
_STALE_SECONDS = 86_400.0
"""For so long keys are good that cannot be fetched anew."""
_PAUSE_SECONDS = 15.0
"""Between two fetches, however many unknown keys are asked for and whether or not the last one went well."""
_MOST = 50
_FEWEST_BITS = 2048
"""Of an RSA key."""
_ALGORITHMS = {"RSA": "RS256", "EC P-256": "ES256"}
"""Each kind of key is for one algorithm. Shared secrets are none of them: what is published is no secret."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteKey:
    """A key and the one algorithm for which it is."""

    key: Any
    algorithm: str


class RemoteKeys:
    """The keys of one issuer. ``ask`` fetches the document with them; ``whose`` names them in the log."""

    def __init__(self, ask: Callable[[], Awaitable[Any]], whose: str, clock: Clock) -> None:
        self._ask = ask
        self._whose = whose
        self._clock = clock
        self._keys: dict[str, RemoteKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, id: str) -> RemoteKey | None:
        """The key of that id; None when the issuer has none.

        Raises:
            KeysUnavailable: that cannot be told, because the issuer does not answer.
        """
        if id not in self._keys or self._age(self._fetched_at) >= _FRESH_SECONDS:
            async with self._lock:
                if self._age(self._tried_at) >= _PAUSE_SECONDS:
                    await self._fetch()
        found = self._keys.get(id) if self._age(self._fetched_at) < _STALE_SECONDS else None
        if found is None and self._fetched_at < self._tried_at:
            raise KeysUnavailable(self._whose)
        return found

    def _age(self, moment: float) -> float:
        return self._clock.monotonic() - moment

    async def _fetch(self) -> None:
        self._tried_at = self._clock.monotonic()
        try:
            self._keys = _parsed(await self._ask())
        except ElsewhereFailed as error:
            _log.warning("The keys of %s cannot be fetched: %s", self._whose, error.reason)
            return
        self._fetched_at = self._tried_at


def _parsed(document: Any) -> dict[str, RemoteKey]:
    """The keys of a document that can be used; others, of whatever form, are left out."""
    listed = document.get("keys") if isinstance(document, Mapping) else None
    keys: dict[str, RemoteKey] = {}
    for each in listed[:_MOST] if isinstance(listed, list) else ():
        found = _key(each) if isinstance(each, Mapping) else None
        if found is not None:
            keys[str(each["kid"])] = found
    return keys


def _key(published: Mapping[str, Any]) -> RemoteKey | None:
    from jwt import PyJWK  # noqa: PLC0415 (slow to load)
    from jwt.exceptions import PyJWTError  # noqa: PLC0415

    algorithm = _ALGORITHMS.get(f"{published.get('kty')} {published.get('crv', '')}".strip())
    if algorithm is None or not isinstance(published.get("kid"), str) or "d" in published:
        return None
    if published.get("alg", algorithm) != algorithm or published.get("use", "sig") != "sig":
        return None
    try:
        key = PyJWK(dict(published), algorithm).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    return RemoteKey(key, algorithm) if algorithm != "RS256" or key.key_size >= _FEWEST_BITS else None
