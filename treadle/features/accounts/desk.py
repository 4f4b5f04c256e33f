"""What everything that lets people in works with."""

from dataclasses import dataclass

from treadle.base.circumstances import sender
from treadle.base.clock import Clock
from treadle.features.accounts.admission import Admission
from treadle.features.accounts.background import Background
from treadle.features.accounts.landing import Landing
from treadle.features.accounts.links import Links
from treadle.features.accounts.passwords import Passwords
from treadle.features.accounts.sessions import Sessions
from treadle.features.accounts.storage import AccountStorage
from treadle.features.accounts.throttle import Limit, Throttle, place


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts of an install that signing in, signing up and links share."""

    storage: AccountStorage
    admission: Admission
    sessions: Sessions
    links: Links
    passwords: Passwords
    throttle: Throttle
    landing: Landing
    background: Background
    clock: Clock

    async def take_turn(self, limit: Limit) -> None:
        """Count one more try from where the request comes. Raises ``TooOften``."""
        await self.throttle.take(limit, place(sender.get().address))

    async def give_turn_back(self, limit: Limit) -> None:
        """It was no try: take it off the count."""
        await self.throttle.give_back(limit, place(sender.get().address))
