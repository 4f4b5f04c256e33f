"""Who really sends a request that came through proxies, told only by proxies that the operator trusts."""

import ipaddress
from collections.abc import Iterable

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """The networks whose word counts, as texts such as ``10.0.0.0/8``."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(each) for each in networks)

    def correct(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Put the sender's address and scheme into the scope, as the nearest trusted proxies tell them.

        ``X-Forwarded-For`` is read from its end, where our own proxies have written: what stands before the first
        address that is none of theirs may be anybody's invention.
        """
        peer = scope["client"][0] if scope.get("client") else ""
        if not self._networks or not self._trusts(peer):
            return
        addresses = [each.strip() for each in headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")]
        sender = next((each for each in reversed(addresses) if each and not self._trusts(each)), "")
        if _is_address(sender):
            scope["client"] = (sender, 0)
        proto = headers.get(b"x-forwarded-proto", b"").decode("latin-1").strip().lower()
        if proto in ("http", "https"):
            scope["scheme"] = proto

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
