"""How often one person may ask: a token bucket each, the same through every door."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_MOST_BUCKETS = 100_000
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """``size`` requests at once, and as many again spread over a minute."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one request."""

    allowed: bool
    limit: int
    remaining: int
    reset: int
    """Seconds until the bucket is full again."""
    retry_after: int
    """Seconds until the next request is let through; 0 when it is already."""

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers that tell the caller."""
        told = [("x-ratelimit-limit", self.limit), ("x-ratelimit-remaining", self.remaining)]
        told.append(("x-ratelimit-reset", self.reset))
        if not self.allowed:
            told.append(("retry-after", self.retry_after))
        return tuple((name.encode(), str(value).encode()) for name, value in told)


class RateLimiter(Protocol):
    """Counts requests of keys."""

    async def take(self, rate: Rate, key: str) -> Verdict:
        """Count one request of ``key`` if it is still allowed."""
        ...


class LocalRateLimiter:
    """Token buckets (RFC 2697's, with one rate) in this process. ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    async def take(self, rate: Rate, key: str) -> Verdict:
        """Count one request."""
        now = self._clock()
        place = (rate.name, key)
        level, since = self._buckets.get(place, (float(rate.size), now))
        level = min(float(rate.size), level + (now - since) * rate.size / MINUTE)
        allowed = level >= 1.0
        if allowed:
            level -= 1.0
        self._buckets[place] = (level, now)
        self._buckets.move_to_end(place)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)  # the one that has asked for longest ago, and so is the fullest
        second = rate.size / MINUTE
        wait = 0 if allowed else math.ceil((1.0 - level) / second)
        return Verdict(allowed, rate.size, int(level), math.ceil((rate.size - level) / second), wait)
