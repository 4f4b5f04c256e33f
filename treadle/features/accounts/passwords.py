"""Passwords: what is accepted as one, and how they are kept."""

import asyncio
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from treadle.features.accounts.errors import WeakPassword

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST = 8
LONGEST = 256

_AT_ONCE = 2
"""Hashes that are made at once: each takes 19 MiB and most of a processor."""
_MEMORY_KIB, _ROUNDS, _LANES = 19_456, 2, 1
"""Argon2id as OWASP's Password Storage Cheat Sheet recommends it."""


def checked(password: str, email: str) -> str:
    """The password as it is hashed.

    Raises:
        WeakPassword: it is too short, too long, or the address itself.
    """
    prepared = unicodedata.normalize("NFKC", password)
    if len(prepared) < SHORTEST:
        raise WeakPassword(f"Password should be at least {SHORTEST} characters.", ["length"])
    if len(prepared) > LONGEST:
        raise WeakPassword(f"Password should be at most {LONGEST} characters.", ["length"])
    if prepared.strip().lower() == email.lower() or len(set(prepared)) < 2:
        raise WeakPassword("Password is too easy to guess.", ["pwned"])
    return prepared


class Passwords:
    """Hashes and compares passwords, beside the event loop and a few at a time."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher  # noqa: PLC0415 (not needed to start)

        return PasswordHasher(_ROUNDS, _MEMORY_KIB, _LANES)

    @cached_property
    def _nobodys(self) -> str:
        """A hash that no password fits: comparing with it takes as long as with a real one."""
        return self._hasher.hash("\0" * SHORTEST)

    async def hashed(self, password: str) -> str:
        """What is kept of a password that was checked."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password.encode("utf-8", "surrogatepass"))

    async def fits(self, password: str, hash: str | None) -> bool:
        """Whether the password is the one of the hash. Without a hash it is not, after the same work."""
        prepared = unicodedata.normalize("NFKC", password[: 4 * LONGEST]).encode("utf-8", "surrogatepass")
        async with self._turns:
            right = await asyncio.to_thread(self._verified, hash or self._nobodys, prepared)
        return right and hash is not None

    def _verified(self, hash: str, password: bytes) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

        try:
            return self._hasher.verify(hash, password)
        except (VerificationError, InvalidHashError):
            return False
