"""A firing: one run of a node on one complete set of inputs."""

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle.kernel.lane import Spilled

Cause = tuple[int, int]
"""Which output filled a pin: (number of the firing that sent it, position among its outputs)."""


class Phase(Enum):
    """Where a firing stands."""

    READY = "ready"
    """Complete, started or about to start."""
    RETRYING = "retrying"
    WAITING = "waiting"
    REVIEW = "review"
    ENDED = "ended"
    """Over, its outputs held back by an earlier firing of its node."""


class Firing:
    """The state of one firing while it is not over."""

    __slots__ = (
        "attempt",
        "begun",
        "caller",
        "causes",
        "decision",
        "due",
        "elsewhere",
        "emitted",
        "held",
        "node",
        "notes",
        "number",
        "payload",
        "phase",
        "sent",
        "values",
    )

    def __init__(self, number: int, node: int, values: dict[str, Any], causes: tuple[Cause, ...]) -> None:
        self.number = number
        self.node = node
        self.values = values
        """What arrived on the linked pins; a ``Spilled`` is replaced before the firing starts."""
        self.elsewhere: Spilled | None = None
        """Stands for all values and causes, while they are kept elsewhere."""
        self.causes = causes
        self.phase = Phase.READY
        self.attempt = 1
        """The attempt that runs, or will run next."""
        self.begun = False
        """The current attempt's start is recorded: after a crash the firing may have had its effect."""
        self.emitted = 0
        """How many outputs of a streaming firing are recorded."""
        self.held: Sequence[tuple[str, Any]] = ()
        """Outputs that may not go downstream yet."""
        self.sent = 0
        """How many outputs have gone downstream."""
        self.decision: Any = None
        self.due: int | None = None
        """When a retry or a timer is due, in milliseconds since 1970."""
        self.payload: Any = None
        self.notes: Sequence[Any] = ()
        """What the firing noted for its later attempts."""
        self.caller: tuple[int, int] | None = None
        """(firing, slot) of the firing that called this one as a tool."""
