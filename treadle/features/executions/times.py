"""When a run began and how long it has taken, from the times in its row."""

from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID


def began(id: UUID, created: datetime, started: datetime | None) -> datetime | None:
    """When a worker took the run up; None while none has.

    A run that its worker started itself has its row from the first commit, by which the first nodes may be done; its
    id (RFC 9562, version 7) holds the milliseconds at which it was made.
    """
    if started is None or started != created:
        return started
    return min(created, datetime.fromtimestamp((id.int >> 80) / 1000, UTC))


FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""No run is older."""
_LAST = datetime(2200, 1, 1, tzinfo=UTC)

SKEW = timedelta(hours=1)
"""Between the clock that made a run's id and the database's, by which it is listed, at most."""


def within_reach(moment: datetime) -> datetime:
    """The moment, or the nearest at which there can be runs."""
    try:
        return min(max(moment.astimezone(UTC), FIRST), _LAST)
    except OverflowError:
        return FIRST if moment.year < FIRST.year else _LAST


def lowest_id(created_from: datetime) -> UUID:
    """No run that was created at this moment or later, by the database's clock, has a lower id than this one."""
    return UUID(int=max(0, int((created_from - SKEW).timestamp() * 1000)) << 80)


class Timed(Protocol):
    """What has the times of a run: its row, or its line in a list."""

    @property
    def id(self) -> UUID: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime | None: ...


def seconds_of(run: Timed) -> float:
    """How long it has taken, waiting in the queue excluded."""
    return seconds_between(began(run.id, run.created_at, run.started_at), run.ended_at)


def seconds_between(began: datetime | None, ended: datetime | None) -> float:
    """From its start until its end, or until now; 0 while it has not begun."""
    if began is None:
        return 0.0
    return max(0.0, round(((ended or datetime.now(UTC)) - began).total_seconds(), 3))
