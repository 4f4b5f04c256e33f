"""The two engines of patterns give the same answers, and which one is asked."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.blocks.pattern_engine import INLINE_WORK, RESULT_CAP, Flags, by_python, by_re2, translate
from treadle.blocks.pattern_search import MEGABYTES, SECONDS, WORKER_FUNCTION, search
from treadle.blocks.pattern_worker import search as search_in_worker
from treadle.sdk.compute import ComputePool
from treadle.sdk.errors import BlockError


class RecordingCompute:
    """Runs the entry for workers in this process and remembers that it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float, int]] = []

    async def call(self, function: str, *args: Any, seconds: float = 1.0, megabytes: int = 64) -> Any:
        self.calls.append((function, seconds, megabytes))
        return search_in_worker(*args)


PIECES = st.sampled_from(
    [
        *("a", "b", "X", "-", ".", "|", "^", "$", "é", "(", "(?:", "(?P<n>", ")"),
        *("*", "+", "?", "*?", "??", "{2}", "{0,2}", "{,2}"),
        *(r"\d", r"\w", r"\s", r"\D", r"\S", r"\.", r"\-", r"\b"),
        *("[ab]", "[^a]", r"[\w-]", r"[-\s]", r"[\s\S]"),
    ]
)
TEXTS = st.text(alphabet="abX-1 é\n", max_size=8)


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=9).map("".join), TEXTS, st.booleans(), st.booleans(), st.integers(0, 2))
def test_both_engines_agree(pattern: str, text: str, case_sensitive: bool, dot_all: bool, group: int) -> None:
    flags = Flags(case_sensitive, dot_all)
    for limit in (1, 100):
        linear = by_re2(pattern, text, flags, group, limit)
        assert linear is None or linear == by_python(pattern, text, flags, group, limit)


@pytest.mark.parametrize(
    "pattern",
    [
        "abc",
        r"\d{4}-\d{2}",
        r"[\w.+-]+@[\w-]+\.[\w.]+",
        r"(?P<v>\d+)",
        r"^(\w+): (.+)$",
        r"[\s\S]+?x",
        "(a+)+$",
        "[^\\]]*",
    ],
)
def test_usual_patterns_are_linear(pattern: str) -> None:
    assert translate(pattern) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "a(?=b)",
        "(?<!a)b",
        r"(a)\1",
        "(?i)a",
        "a++",
        "a{,3}",
        "[[:alpha:]]",
        "(?<n>b)",
        "[",
        "(",
        "a)",
        "*a",
        "a**",
        "(a*)*",
    ],
)
def test_what_differs_or_is_missing_is_left_to_python(pattern: str) -> None:
    assert by_re2(pattern, "a", Flags(), 0, 1) is None


@pytest.mark.parametrize(
    ("pattern", "text", "flags", "found"),
    [
        (r"\w+", "héllo 世界", Flags(), ["héllo", "世界"]),
        (r"\bé", "é", Flags(), ["é"]),
        ("i", "İ", Flags(case_sensitive=False), ["İ"]),
        ("a$", "a\n", Flags(), ["a"]),
        ("a.b", "a\nb", Flags(), ["a\nb"]),
        ("a.b", "a\nb", Flags(dot_all=False), []),
        ("a*", "baac", Flags(), ["", "aa", "", ""]),
        ("a{20000}", "a" * 20_000, Flags(), ["a" * RESULT_CAP]),
        ("(?<=a)b", "ab", Flags(), ["b"]),
        ("b", "\ud800b", Flags(), ["b"]),
        ("\ud800", "b", Flags(), []),
    ],
)
async def test_python_decides_what_is_found(pattern: str, text: str, flags: Flags, found: list[str]) -> None:
    assert await search(pattern, text, flags, RecordingCompute(), limit=100) == found


async def test_only_what_is_not_linear_goes_to_a_process_with_its_limits() -> None:
    compute = RecordingCompute()
    await search("a+b", "aab", Flags(), compute)
    assert compute.calls == []
    await search("a(?=b)", "aab", Flags(), compute)
    assert await search("a+b", "a" * INLINE_WORK, Flags(), compute) == []
    assert compute.calls == [(WORKER_FUNCTION, SECONDS, MEGABYTES)] * 2


async def test_patterns_that_explode_elsewhere_run_in_place() -> None:
    compute = RecordingCompute()
    assert await search("(a+)+$", "a" * 50 + "b", Flags(), compute) == []
    assert await search(r"\s+[\s\S]*?x", " " * 100_000, Flags(), compute) == []
    assert compute.calls == []


async def test_groups() -> None:
    compute = RecordingCompute()
    assert await search("(b)|(z)", "abz", Flags(), compute, group=2, limit=9) == ["z"]
    assert await search("(b)|(z)", "abz", Flags(), compute, group=3) is None
    assert await search("(b)|(z)", "abz", Flags(), compute, group=-1) is None


@pytest.mark.parametrize("pattern", ["[", "(?P<n", "a**", "\\", "(" * 10_000])
async def test_a_wrong_pattern_is_an_error(pattern: str) -> None:
    with pytest.raises(BlockError, match="not a regular expression") as caught:
        await search(pattern, "abc", Flags(), RecordingCompute())
    assert caught.value.fix


async def test_what_explodes_is_ended_and_others_are_served() -> None:
    async with ComputePool([WORKER_FUNCTION], workers=1) as pool:
        with pytest.raises(BlockError, match="search for the pattern was ended"):
            await search(r"(a+)+\1$", "a" * 50 + "b", Flags(), pool)
        assert await search(r"(a)\1", "baab", Flags(), pool) == ["aa"]
