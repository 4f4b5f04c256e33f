"""What fails because something beneath is full or away, told apart from what fails because of us."""

import errno

import asyncpg

from treadle.base.errors import Unavailable

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))
DATABASE_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
)
"""What asyncpg raises when the server does not answer, or cannot do anything now."""


def outage(error: BaseException | None) -> Unavailable | None:
    """The failure to tell people when an error, or what it came from, is an outage; None for all other errors."""
    seen = 0
    while error is not None and seen < 10:  # a chain has a few links; nothing keeps it from being a circle
        told = _outage(error)
        if told is not None:
            return told
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def _outage(error: BaseException) -> Unavailable | None:
    if isinstance(error, asyncpg.DiskFullError) or (isinstance(error, OSError) and error.errno in _FULL):
        fix = "Tell whoever runs it; what was stored before is kept. Send the request again later."
        return Unavailable("The server's disk is full, or cannot be written to.", fix=fix)
    # asyncpg also calls it an interface error when it is given a value of a wrong type: that is ours.
    if isinstance(error, (ConnectionError, *DATABASE_AWAY)) and not isinstance(error, ValueError):
        return Unavailable("The database does not answer now.", fix="Send the request again in a moment.")
    return None
