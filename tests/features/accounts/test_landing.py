"""Where browsers may land: never on a page that only looks like one of ours (case T11)."""

import pytest

from treadle.features.accounts.landing import Landing, with_fragment, with_query

LANDING = Landing("https://treadle.test", frozenset({"https://app.test", "http://localhost:3000"}))


@pytest.mark.parametrize(
    ("wanted", "page"),
    [
        ("/agents?x=1", "https://treadle.test/agents?x=1"),
        ("https://treadle.test/x", "https://treadle.test/x"),
        ("https://app.test/welcome?a=b#c", "https://app.test/welcome?a=b#c"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://APP.test/x", "https://APP.test/x"),
    ],
)
def test_known_pages(wanted: str, page: str) -> None:
    assert LANDING.page(wanted) == page


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        "",
        "https://evil.test/",
        "https://app.test.evil.test/",
        "https://app.test@evil.test/",
        "https://app.test:444/",
        "http://app.test/",
        "//evil.test/",
        "/\\evil.test/",
        "\\\\evil.test",
        "https:\\\\app.test",
        "javascript:alert(1)",
        "data:text/html,x",
        " https://app.test/",
        "https://app.test/\r\nSet-Cookie: x=y",
        "https://[app.test/",
        "https://user:secret@app.test/",
        "app.test",
    ],
)
def test_all_others_lead_home(wanted: str | None) -> None:
    assert LANDING.page(wanted) == "https://treadle.test/"
    assert LANDING.page(wanted, "/reset-password") == "https://treadle.test/reset-password"


def test_what_they_come_with_is_added_to_what_is_there() -> None:
    assert with_query("https://app.test/x?a=b#c", {"code": "1&2"}) == "https://app.test/x?a=b&code=1%262#c"
    assert with_query("https://app.test", {"code": "1"}) == "https://app.test?code=1"
    assert with_fragment("https://app.test/x?a=b#c", {"error": "a b"}) == "https://app.test/x?a=b#error=a+b"
