"""Who sends the request that is being served, for whoever writes it down."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sender:
    """Of a request. Both are empty for what the platform does by itself, or a command."""

    address: str = ""
    """Of the network, proxies seen through."""
    agent: str = ""
    """The program that it says it is."""


_NOBODY = Sender()
sender: ContextVar[Sender] = ContextVar("sender", default=_NOBODY)
"""Of the request that the current task serves."""
