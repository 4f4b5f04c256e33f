"""The states of an execution and the moves between them. The database's guard is generated from these tables."""

from enum import StrEnum


class Status(StrEnum):
    """Where an execution stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    """Nothing can run before a timer or an outside event; holds no worker."""
    REVIEW = "REVIEW"
    """Nothing can run before a person decides; holds no worker."""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TERMINATED = "TERMINATED"
    """Stopped by a person."""


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.TERMINATED})
COUNTED = frozenset({Status.RUNNING})
"""States that count against a run's budget of time: waiting in a queue, for a person, a time or an event does not."""

MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.TERMINATED, Status.FAILED}),
    Status.RUNNING: frozenset(
        {Status.WAITING, Status.REVIEW, Status.QUEUED, Status.COMPLETED, Status.FAILED, Status.TERMINATED}
    ),
    Status.WAITING: frozenset({Status.REVIEW, Status.QUEUED, Status.TERMINATED, Status.FAILED}),
    Status.REVIEW: frozenset({Status.WAITING, Status.QUEUED, Status.TERMINATED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.TERMINATED: frozenset(),
}
"""For each state, where an execution may go from it. ``RUNNING -> QUEUED`` is a lease given up."""
