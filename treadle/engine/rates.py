"""How often a provider's account is called: attempts that use it are spaced, over all runs of this process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from treadle.base.clock import Clock
from treadle.sdk.credentials import Credentials


class AccountRates:
    """At most ``per_second[provider]`` attempts begin in a second with one account; other providers are not limited.

    Who comes too early waits in turn: nothing is refused, and no place is lost.
    """

    def __init__(
        self,
        per_second: Mapping[str, float],
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at: dict[tuple[str, str], float] = {}

    async def wait(self, accounts: Iterable[Credentials]) -> None:
        """Wait until an attempt with these accounts may begin."""
        for account in accounts:
            rate = self._per_second.get(account.provider)
            if rate is not None:
                await self._sleep(self._reserve((account.provider, account.id), 1 / rate))

    def _reserve(self, account: tuple[str, str], interval: float) -> float:
        """Take the account's next free moment; how many seconds away it is."""
        now = self._clock.monotonic()
        start = max(now, self._free_at.get(account, now))
        self._free_at[account] = start + interval
        return start - now
