"""Outages are told apart from mistakes, whatever they are wrapped in."""

import errno

import asyncpg
import pytest

from treadle.base.outages import outage


def wrapped(error: BaseException) -> BaseException:
    outer = RuntimeError("a statement failed")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize("wrap", [lambda error: error, wrapped], ids=["itself", "wrapped"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EROFS, "Read-only file system"), "disk"),
        (asyncpg.DiskFullError("could not extend file"), "disk"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "database"),
        (asyncpg.AdminShutdownError("terminating connection"), "database"),
        (asyncpg.InterfaceError("connection is closed"), "database"),
        (asyncpg.TooManyConnectionsError("too many clients"), "database"),
        (asyncpg.UndefinedTableError("no such table"), None),
        (asyncpg.exceptions.UniqueViolationError("twice"), None),
        (OSError(errno.ENOENT, "No such file"), None),
        (ValueError("wrong"), None),
        (KeyError("x"), None),
    ],
)
def test_what_is_an_outage(wrap: object, error: BaseException, told: str | None) -> None:
    assert callable(wrap)
    found = outage(wrap(error))
    assert (found is None) == (told is None)
    if found is not None and told is not None:
        assert told in found.message
        assert (found.status, bool(found.fix)) == (503, True)


def test_a_chain_that_is_a_circle_ends() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert outage(first) is None
