"""Memory that was freed and lies idle in this process can be given back to the system."""

import ctypes
from collections.abc import Callable


def give_back() -> None:
    """Give back what is free. The allocator keeps it otherwise, wherever something small still lies behind it.

    It takes milliseconds for a large heap. Only the GNU C library knows how; with others nothing happens.
    """
    if _trim is not None:
        _trim(0)


def _find() -> Callable[[int], int] | None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    return trim


_trim = _find()
