"""Whose word counts on who sends a request (case D7)."""

from typing import Any

import pytest

from treadle.web.proxies import TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "fd00::/8"])


def _scope(peer: str) -> dict[str, Any]:
    return {"type": "http", "client": (peer, 4711), "scheme": "http"}


@pytest.mark.parametrize(
    ("forwarded", "sender"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first was written by whoever sent it
        ("203.0.113.9, 10.1.1.1", "203.0.113.9"),  # through two of our proxies
        ("2001:db8::7, fd00::1", "2001:db8::7"),
        ("10.9.9.9, 10.1.1.1", "10.0.0.1"),
        ("nonsense", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_the_last_address_that_is_none_of_the_proxies_counts(forwarded: str, sender: str) -> None:
    scope = _scope("10.0.0.1")
    PROXIES.correct(scope, {b"x-forwarded-for": forwarded.encode(), b"x-forwarded-proto": b"https"})
    assert scope["client"][0] == sender
    assert scope["scheme"] == "https"


@pytest.mark.parametrize("proxies", [PROXIES, TrustedProxies()])
def test_d7_nobody_else_is_believed(proxies: TrustedProxies) -> None:
    scope = _scope("203.0.113.5")
    proxies.correct(scope, {b"x-forwarded-for": b"127.0.0.1", b"x-forwarded-proto": b"https"})
    assert scope == _scope("203.0.113.5")


def test_an_unknown_scheme_changes_nothing() -> None:
    scope = _scope("10.0.0.1")
    PROXIES.correct(scope, {b"x-forwarded-proto": b"gopher"})
    assert scope["scheme"] == "http"
