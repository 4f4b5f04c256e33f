"""Runs whose workers have died are taken up again in ever smaller company: so one that kills its process is found.

A worker that dies had thousands of runs, and one of them may have been the reason. After the first deaths all of them
are taken up again at once. Those with which the next worker dies too, and of which nothing got done in between, are
doubted: a worker takes only so many of them at a time, after each further death a twentieth, and the last time one
alone. So the others get on, and only the one that is the reason dies often enough to be ended.

Workers may also be killed from outside, again and again. So that no run is ended for that, those with most deaths come
first (``executions_next_v1``), and the others wait for a moment until they have got on: whatever a worker gets done in
a short life, they get done first. And after the third death they pause, ever longer: whoever kills at random has gone
when they come back, while a run that kills its worker does it again.
"""

from collections.abc import Callable
from typing import Protocol

DOUBTED_FROM = 2
"""Deaths in a row after which a run is doubted."""
SHRINKS = 20
GOOD_AFTER_SECONDS = 10.0
"""A doubted run that has not killed its worker for so long makes room for the next; but not the last time."""
PAUSED_FROM = 3
"""Deaths in a row after which a run pauses before it is taken up again."""
PAUSE_SECONDS = 15.0
PAUSES_GROW = 4.0
LONGEST_PAUSE_SECONDS = 3_600.0
FIRST_SECONDS = 2.0
"""How long a doubted run that was taken up has its worker's next steps to itself and those doubted as much."""


class Doubted(Protocol):
    """A root as far as it may be the reason why workers die."""

    deaths: int
    """How many have died with it in a row; 0 once something of it got done."""
    over: bool


def pauses(most_deaths: int) -> list[float]:
    """Seconds that a run pauses after each of its deaths in a row, the first one's first; the last one ends it."""
    return [
        min(PAUSE_SECONDS * PAUSES_GROW ** (deaths - PAUSED_FROM), LONGEST_PAUSE_SECONDS)
        if deaths >= PAUSED_FROM
        else 0.0
        for deaths in range(1, most_deaths)
    ]


class Company:
    """The doubted runs of one worker. A run that ``most_deaths`` workers have died with is ended (by the database)."""

    def __init__(self, most_deaths: int, clock: Callable[[], float]) -> None:
        self._most_deaths = most_deaths
        self._clock = clock
        self._doubted: list[tuple[Doubted, float]] = []

    def join(self, root: Doubted) -> bool:
        """The worker has taken up a run; whether it is doubted."""
        if root.deaths < DOUBTED_FROM:
            return False
        self._doubted.append((root, self._clock()))
        return True

    def places(self, room: int) -> list[int]:
        """How many more runs the worker may take, by the number of deaths; ``room`` if that does not matter."""
        self._doubted = [(root, since) for root, since in self._doubted if root.deaths and not root.over]
        just_now = self._clock() - FIRST_SECONDS
        first = max((root.deaths for root, since in self._doubted if since > just_now), default=0)
        first = min(first, self._most_deaths - 1)
        return [self._places(deaths, room) if deaths >= first else 0 for deaths in range(self._most_deaths)]

    def _places(self, deaths: int, room: int) -> int:
        if deaths < DOUBTED_FROM:
            return room
        last = deaths == self._most_deaths - 1
        long_ago = self._clock() - GOOD_AFTER_SECONDS
        here = sum(root.deaths >= deaths and (last or since > long_ago) for root, since in self._doubted)
        most: int = SHRINKS ** (self._most_deaths - 1 - deaths)
        return max(0, min(room, most - here))
