"""How often somebody may try: for each account, and for each place on the network."""

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Protocol

from treadle.features.accounts.errors import TooOften
from treadle.features.accounts.storage import AccountStorage


@dataclass(frozen=True, slots=True)
class Limit:
    """``burst`` tries at once, and one more every ``seconds``."""

    name: str
    burst: int
    seconds: float


SIGN_IN_ACCOUNT = Limit("sign-in account", 10, 30.0)
SIGN_IN_ADDRESS = Limit("sign-in address", 60, 2.0)
SIGN_UP_ADDRESS = Limit("sign-up address", 30, 60.0)
REFRESH_ADDRESS = Limit("refresh address", 300, 0.2)
MAIL_ACCOUNT = Limit("mail account", 4, 300.0)
MAIL_ADDRESS = Limit("mail address", 30, 30.0)
PROVIDER_ADDRESS = Limit("provider address", 60, 5.0)
LINK_ADDRESS = Limit("link address", 30, 10.0)
INVITE_PERSON = Limit("invite person", 100, 36.0)


class Throttle(Protocol):
    """Counts tries, for all processes of an install."""

    async def take(self, limit: Limit, who: str) -> None:
        """Count one more try of ``who``. Raises ``TooOften``, which says for how long to wait."""
        ...

    async def give_back(self, limit: Limit, who: str) -> None:
        """It was no try: take it off the count."""
        ...


class DatabaseThrottle:
    """Counts in the database (``Throttle``)."""

    def __init__(self, storage: AccountStorage) -> None:
        self._storage = storage

    async def take(self, limit: Limit, who: str) -> None:
        async with self._storage.repository() as accounts:
            wait = await accounts.take_try(_key(limit, who), limit.burst, 1 / limit.seconds)
        if wait > 0:
            raise TooOften(wait)

    async def give_back(self, limit: Limit, who: str) -> None:
        async with self._storage.repository() as accounts:
            await accounts.give_try_back(_key(limit, who), limit.burst)


def _key(limit: Limit, who: str) -> bytes:
    return hashlib.sha256(f"{limit.name}\0{who}".encode("utf-8", "surrogatepass")).digest()


def place(address: str) -> str:
    """What counts as one place of the network: an IPv4 address, or the 64 bits of IPv6 that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
