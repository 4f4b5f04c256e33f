"""What one root with all its descendants has used of its budgets. Whoever asks says what time it is."""

from typing import Protocol


class Budgets(Protocol):
    """How much one root may use."""

    @property
    def firings(self) -> int: ...
    @property
    def wall_seconds(self) -> float: ...
    @property
    def stored_bytes(self) -> int: ...
    @property
    def credits(self) -> int: ...


class Spent:
    """What was used so far, by the worker that has the root now and by those before it."""

    __slots__ = ("credits", "earlier_ms", "firings", "since_ms", "stored_bytes")

    def __init__(self, since_ms: int) -> None:
        self.firings = 0
        self.stored_bytes = 0
        self.credits = 0
        self.since_ms = since_ms
        """When the worker took the root, in milliseconds since 1970."""
        self.earlier_ms = 0
        """For how long workers before it had the root. What it waited in between, and in a queue, is not in it."""

    def active_ms(self, now_ms: int) -> int:
        """For how long workers have had the root."""
        return self.earlier_ms + max(0, now_ms - self.since_ms)

    def passed(self, budgets: Budgets, now_ms: int) -> str:
        """The first budget that is passed, in words; empty when none is."""
        if self.firings > budgets.firings:
            return f"{budgets.firings:,} firings"
        if self.stored_bytes > budgets.stored_bytes:
            return f"{budgets.stored_bytes:,} stored bytes"
        if self.credits > budgets.credits:
            return f"{budgets.credits:,} credits"
        if self.active_ms(now_ms) > budgets.wall_seconds * 1000:
            return f"{budgets.wall_seconds:g} seconds at work"
        return ""
