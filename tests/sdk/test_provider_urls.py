"""Pasted addresses are read strictly and give names only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.sdk.errors import InputRefused
from treadle.sdk.provider_urls import Address

ISSUE = Address(
    pin="issue_url",
    hosts=("github.com",),
    paths=("/{owner}/{repo}/issues/{number:int}/*", "/{owner}/{repo}#n{number:int}"),
    plain=("{owner}/{repo}!{number:int}",),
    example="https://github.com/owner/repo/issues/1",
)
FOUND = {"owner": "octo-org", "repo": "hello.world", "number": "7"}


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/octo-org/hello.world/issues/7",
        "http://GitHub.com/octo-org/hello.world/issues/7/",
        " github.com/octo-org/hello.world/issues/7?x=1#issuecomment-2 ",
        "https://github.com/octo-org/hello.world/issues/7/events",
        "https://github.com/octo-org/hello.world#n7",
        "octo-org/hello.world!7",
    ],
)
def test_forms(text: str) -> None:
    assert ISSUE.read(text) == FOUND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://github.com.evil.example/octo-org/hello/issues/7",
        "https://github.com@evil.example/octo-org/hello/issues/7",
        "https://user:pw@github.com/octo-org/hello/issues/7",
        "https://github.com:8443/octo-org/hello/issues/7",
        "https://evil.example/github.com/octo-org/hello/issues/7",
        "https://evil.example#github.com/octo-org/hello/issues/7",
        "//evil.example/octo-org/hello/issues/7",
        "file:///octo-org/hello/issues/7",
        "javascript://github.com/octo-org/hello/issues/7",
        "https://github.com/octo-org/../issues/7",
        "https://github.com/./hello/issues/7",
        "https://github.com/octo-org/hel%2Flo/issues/7",
        "https://github.com/octo-org/hello/issues/-7",
        "https://github.com/octo-org/hello/issues/٧",
        "https://github.com/octo-org/hello/issues/7x",
        "https://github.com/octo org/hello/issues/7",
        "https://gıthub.com/octo-org/hello/issues/7",
    ],
)
def test_what_is_no_such_address(text: str) -> None:
    with pytest.raises(InputRefused, match="is not an address like"):
        ISSUE.read(text)


@given(st.text())
def test_any_text_gives_plain_names_or_a_refusal(text: str) -> None:
    try:
        found = ISSUE.read(text)
    except InputRefused:
        return
    assert all(value not in (".", "..") and not set(value) & set("/?#%\\@: ") for value in found.values())


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True), st.integers(0, 10**9))
def test_what_is_written_is_read(owner: str, number: int) -> None:
    if owner in (".", ".."):
        return
    found = ISSUE.read(f"https://github.com/{owner}/repo/issues/{number}")
    assert found == {"owner": owner, "repo": "repo", "number": str(number)}


def test_the_names_that_it_gives() -> None:
    assert ISSUE.names() == {"owner", "repo", "number"}
