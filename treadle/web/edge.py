"""What the edge of one server is told by its operator."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from starlette.types import Scope

from treadle.base.errors import RateLimited
from treadle.features.accounts.access import Identity
from treadle.web.rate_limits import LocalRateLimiter, Rate, RateLimiter, Verdict
from treadle.web.tracing import Tracer

VERDICTS = "treadle.rate_verdicts"
"""Where a request's scope keeps what the limits said, for the headers of its answer."""


class Limited(StrEnum):
    """Whose requests are counted."""

    KEYS = "keys"
    """Those with a key of the external API: for an install whose people are at the machine itself."""
    EVERYBODY = "everybody"
    NOBODY = "nobody"


class Rates(NamedTuple):
    """How many requests a minute."""

    general: Rate = Rate("general", 100)
    starts: Rate = Rate("starts", 20)
    """Requests that start runs; they count as general ones as well."""
    external: Rate = Rate("external", 60)
    """Instead of the general one, below ``/external-api``."""
    anonymous: Rate = Rate("anonymous", 300)
    """For each address, of requests without a token."""


@dataclass(frozen=True)
class Edge:
    """The rules of one server."""

    names: frozenset[str] = frozenset()
    """Host names under which it may be reached, beside ``localhost`` and plain addresses."""
    origins: frozenset[str] = frozenset()
    """Web pages that may use it, beside its own."""
    proxies: tuple[str, ...] = ()
    """Networks of proxies whose word on a sender's address counts."""
    limited: Limited = Limited.KEYS
    rates: Rates = field(default_factory=Rates)
    limiter: RateLimiter = field(default_factory=LocalRateLimiter)
    metrics_token: str = ""
    """Lets Prometheus in; without it only administrators read the metrics, and on a server for this machine anybody."""
    local_only: bool = True
    """Whether the server listens for this machine only."""
    tracer: Tracer | None = None

    async def admit(self, scope: Scope, identity: Identity | None, address: str) -> Verdict | None:
        """Count a request; None when it is not limited."""
        if self.limited is Limited.NOBODY:
            return None
        if identity is None:
            anonymous = self.limited is Limited.EVERYBODY and not scope["path"].startswith("/health")
            return await self.limiter.take(self.rates.anonymous, address) if anonymous else None
        if self.limited is Limited.KEYS and identity.key is None:
            return None
        external = scope["path"].startswith("/external-api/")
        # By person, not by key: more keys do not give more requests.
        return await self.limiter.take(self.rates.external if external else self.rates.general, str(identity.user))

    async def admit_start(self, scope: Scope, identity: Identity) -> None:
        """Count the start of runs. Raises ``RateLimited``."""
        if self.limited is Limited.NOBODY or (self.limited is Limited.KEYS and identity.key is None):
            return
        verdict = await self.limiter.take(self.rates.starts, str(identity.user))
        scope.setdefault(VERDICTS, []).append(verdict)
        if not verdict.allowed:
            raise too_often(verdict)


def too_often(verdict: Verdict) -> RateLimited:
    """The failure that says when to come again."""
    fix = f"Wait {verdict.retry_after} seconds, or ask the operator for a higher limit."
    return RateLimited(f"More than {verdict.limit} such requests a minute.", fix=fix, retry_after=verdict.retry_after)


def tightest(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The one that leaves least, which is what the caller needs to know."""
    return min(verdicts, key=lambda each: (each.allowed, each.remaining), default=None)
