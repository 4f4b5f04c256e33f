"""Which addresses, names and ports the platform may talk to. Pure: no name is resolved and nothing is opened here."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import ClassVar

from treadle.sdk.errors import BlockError

IpAddress = IPv4Address | IPv6Address


class EgressRefused(BlockError):
    """The egress policy forbids the request; nothing was sent to the host. Not retried."""

    code: ClassVar[str] = "egress_refused"
    status: ClassVar[int] = 400


_REFUSED_V4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared address space of carriers
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata services of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
"""Not globally reachable, by the IANA IPv4 special-purpose address registry (RFC 6890 and its updates)."""

_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that IANA has given out as global unicast; everything outside is refused."""

_REFUSED_V6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2620:4f:8000::/48",
        "3fff::/20",  # documentation
    )
)

_METADATA = frozenset(
    ip_address(each)
    for each in (
        "168.63.129.16",  # Azure's host agent: lies in a public range
        "192.0.0.192",  # Oracle
        "100.100.100.200",  # Alibaba
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
        "fd00:c1::a9fe:a9fe",  # Oracle
    )
)
_LINK_LOCAL = (IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10"))

_METADATA_NAMES = frozenset(
    {
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.azure.internal",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.tencentyun.com",
    }
)

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")

_SERVICE_PORTS = frozenset(
    # Mail, shells, name services, file sharing: the ports that browsers refuse as well (WHATWG Fetch, "bad port").
    {1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110}
    | {111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531}
    | {532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190}
    | {5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
    # Databases, caches, brokers, remote desktops, and engines with an unprotected control port.
    | {445, 873, 1099, 1433, 1521, 1883, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5433, 5671, 5672, 5900}
    | {5984, 6379, 6380, 6432, 7000, 7001, 9042, 9092, 9160, 9300, 10250, 10255, 11211, 26257, 26379, 27017, 27018}
)

MAIL_PORTS = frozenset({25, 110, 143, 465, 587, 993, 995, 2525})
"""The ports of SMTP submission, IMAP and POP3: what mail blocks may pass as ``ports``."""


def normalise(address: str | IpAddress) -> IpAddress:
    """The address that is really reached: an IPv4 address written as an IPv6 one (RFC 4291, 2.5.5.2) becomes IPv4.

    Raises:
        ValueError: not an address.
    """
    parsed = ip_address(address) if isinstance(address, str) else address
    if isinstance(parsed, IPv6Address) and parsed in _MAPPED:
        return IPv4Address(int(parsed) & 0xFFFFFFFF)
    return parsed


def _inner(address: IpAddress) -> IpAddress:
    """The IPv4 address to which a translated (NAT64, RFC 6052) or tunnelled (6to4, RFC 3056) one leads; else itself."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _SIX_TO_FOUR:
            return IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address


def is_metadata(address: str | IpAddress) -> bool:
    """Whether a cloud's metadata service may answer there: all of link-local, and the known other addresses."""
    parsed = _inner(normalise(address))
    return parsed in _METADATA or any(parsed in network for network in _LINK_LOCAL)


def is_public(address: str | IpAddress) -> bool:
    """Whether the address is global unicast, so that anybody on the Internet can reach it.

    Raises:
        ValueError: not an address.
    """
    parsed = _inner(normalise(address))
    if parsed in _METADATA:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _REFUSED_V4)
    if parsed.scope_id is not None or parsed not in _GLOBAL_V6:
        return False
    # ISATAP (RFC 5214) carries an IPv4 address behind a marker in the interface id.
    is_isatap = (int(parsed) >> 32) & 0xFCFFFFFF == 0x00005EFE
    return not is_isatap and not any(parsed in network for network in _REFUSED_V6)


def canonical_host(host: str) -> str:
    """Lower case, without the final dot and the brackets of IPv6; addresses in their normal form."""
    bare = host.strip().lower().removeprefix("[").removesuffix("]").rstrip(".")
    try:
        return str(normalise(bare))
    except ValueError:
        return bare


def check_name(host: str) -> None:
    """Refuse the names of metadata services, whatever they resolve to.

    Raises:
        EgressRefused: it is one.
    """
    if host in _METADATA_NAMES:
        raise EgressRefused(f"{host} is a cloud metadata service", fix="use the address of a public service")


def check_port(host: str, port: int, ports: frozenset[int] | None = None) -> None:
    """Refuse ports outside ``ports``; when None, those of well-known services that do not speak HTTP.

    Raises:
        EgressRefused: the port is not to be used.
    """
    refused = port in _SERVICE_PORTS if ports is None else port not in ports
    if refused or not 0 < port < 65536:
        raise EgressRefused(f"port {port} of {host} may not be used here", fix="use the service's usual port")


def check_addresses(host: str, addresses: Iterable[str], *, allowed: bool = False) -> list[str]:
    """The addresses of ``host``, normalised, if every one of them may be reached.

    One refused address refuses them all: an honest public host has no private ones. ``allowed`` says that the
    operator's list names the host and port: private addresses pass then, those of metadata services never do.

    Raises:
        EgressRefused: an address is private, reserved, or a metadata service's. The message names only the host.
        ValueError: not an address.
    """
    pinned = [normalise(each) for each in addresses]
    for each in pinned:
        if is_metadata(each):
            raise EgressRefused(f"{host} leads to a cloud metadata service", fix="use the address of a public service")
        if not allowed and not is_public(each):
            raise EgressRefused(
                f"{host} is not on the public Internet",
                fix="use a public address, or ask the operator to add host and port to TREADLE_EGRESS_ALLOW",
            )
    return [str(each) for each in pinned]
