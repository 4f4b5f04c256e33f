"""Which addresses, names and ports may be reached."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.sdk.http_policy import (
    MAIL_PORTS,
    EgressRefused,
    canonical_host,
    check_addresses,
    check_name,
    check_port,
    is_metadata,
    is_public,
    normalise,
)

REFUSED = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.1.1"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    *("255.255.255.255", "168.63.129.16", "100.100.100.200", "169.254.169.254", "169.254.170.2"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1::808:808", "100::1", "2001::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "2001:20::1", "2001:2::1", "2001:db8::1"),
    *("2002:7f00:1::1", "2002:a00:1::1", "2002:a9fe:a9fe::", "3fff::1", "2620:4f:8000::1", "5f00::1", "fc00::1"),
    *("fd00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "ff0e::1"),
    *("2606:4700::5efe:127.0.0.1", "2606:4700::200:5efe:10.0.0.1", "4000::1"),
)
PUBLIC = (
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1"),
    *("192.0.1.1", "192.169.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "::ffff:8.8.8.8"),
    *("64:ff9b::808:808", "2002:808:808::1", "2606:4700:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888"),
)


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_global_are_refused(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(EgressRefused) as caught:
        check_addresses("some.host", ["8.8.8.8", address])
    assert address not in str(caught.value), "the message tells where the name leads"


@pytest.mark.parametrize("address", PUBLIC)
def test_global_addresses_pass(address: str) -> None:
    assert is_public(address)
    assert check_addresses("some.host", [address]) == [str(normalise(address))]


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_alike_in_every_disguise(number: int) -> None:
    plain = IPv4Address(number)
    disguises = (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80)
    verdicts = {is_public(IPv6Address(each)) for each in disguises}
    assert verdicts == {is_public(plain)}


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_nothing_is_public_that_pythons_own_table_calls_private(address: IPv6Address) -> None:
    if is_public(address):
        assert address.is_global or address.sixtofour


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_nothing_is_public_that_pythons_own_table_calls_private_v4(address: IPv4Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.170.23", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"),
        *("100.100.100.200", "168.63.129.16", "fd20:ce::254", "192.0.0.192", "fe80::a9fe:a9fe"),
    ],
)
def test_metadata_services_are_refused_even_when_the_operator_allows_the_host(address: str) -> None:
    assert is_metadata(address)
    with pytest.raises(EgressRefused, match="metadata"):
        check_addresses("inside", [address], allowed=True)


def test_private_addresses_pass_when_the_operator_allows_the_host() -> None:
    assert check_addresses("inside", ["10.1.2.3", "::1"], allowed=True) == ["10.1.2.3", "::1"]


@pytest.mark.parametrize("name", ["metadata.google.internal", "metadata", "instance-data"])
def test_names_of_metadata_services_are_refused(name: str) -> None:
    with pytest.raises(EgressRefused):
        check_name(name)
    check_name(f"{name}.example.com")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("EXAMPLE.com.", "example.com"),
        ("[::1]", "::1"),
        ("::FFFF:127.0.0.1", "127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_hosts_have_one_form(written: str, meant: str) -> None:
    assert canonical_host(written) == meant


@pytest.mark.parametrize("port", [22, 25, 53, 2375, 3306, 5432, 6379, 9300, 11211, 27017, 0, 65536, -1])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(EgressRefused):
        check_port("some.host", port)


@pytest.mark.parametrize("port", [80, 443, 3000, 8000, 8080, 8443, 11434, 65535])
def test_other_ports_pass(port: int) -> None:
    check_port("some.host", port)


def test_a_list_of_ports_admits_only_those() -> None:
    check_port("some.host", 587, MAIL_PORTS)
    for port in (443, 6379, 22):
        with pytest.raises(EgressRefused):
            check_port("some.host", port, MAIL_PORTS)
