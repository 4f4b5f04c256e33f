"""Which budget is passed, and how the time of several workers adds up."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.kernel.budget import Spent


@dataclass(frozen=True)
class Most:
    firings: int = 10
    wall_seconds: float = 2.5
    stored_bytes: int = 1_000
    credits: int = 7


def spent(**values: int) -> Spent:
    made = Spent(5_000)
    for name, value in values.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("used", "now_ms", "passed"),
    [
        ({"firings": 10, "stored_bytes": 1_000, "credits": 7}, 7_500, ""),
        ({"firings": 11}, 5_000, "10 firings"),
        ({"stored_bytes": 1_001}, 5_000, "1,000 stored bytes"),
        ({"credits": 8}, 5_000, "7 credits"),
        ({}, 7_501, "2.5 seconds at work"),
        ({"earlier_ms": 2_000}, 5_500, ""),
        ({"earlier_ms": 2_000}, 5_501, "2.5 seconds at work"),
        ({"firings": 99, "credits": 99, "earlier_ms": 9_999}, 5_000, "10 firings"),
    ],
)
def test_the_first_budget_that_is_passed_is_named(used: dict[str, int], now_ms: int, passed: str) -> None:
    assert spent(**used).passed(Most(), now_ms) == passed


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1, max_size=8))
def test_time_of_several_workers_adds_up_and_what_lies_between_does_not(spans: list[tuple[int, int]]) -> None:
    """``spans``: (how long nobody had it, how long a worker then had it)."""
    now, earlier = 0, 0
    for waited, worked in spans:
        claim: Any = spent(earlier_ms=earlier)
        claim.since_ms = now + waited
        now += waited + worked
        earlier = claim.active_ms(now)
    assert earlier == sum(worked for _, worked in spans)
    assert claim.passed(replace(Most(), wall_seconds=(earlier + 0.5) / 1000), now) == ""
    assert claim.passed(replace(Most(), wall_seconds=(earlier + 0.5) / 1000), now + 1) != ""


def test_a_clock_that_goes_back_takes_no_time_off() -> None:
    assert spent(earlier_ms=100).active_ms(0) == 100
