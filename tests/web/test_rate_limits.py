"""Token buckets, and whom they hold back."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.errors import RateLimited
from treadle.base.ids import ApiKeyId, UserId
from treadle.features.accounts.access import Identity
from treadle.web.edge import VERDICTS, Edge, Limited, Rates, tightest
from treadle.web.rate_limits import LocalRateLimiter, Rate

PERSON = UserId(uuid4())
BY_KEY = Identity(PERSON, key=ApiKeyId(uuid4()))
BY_OTHER_KEY = Identity(PERSON, key=ApiKeyId(uuid4()))
SIGNED_IN = Identity(PERSON)
SMALL = Rates(Rate("general", 3), Rate("starts", 2), Rate("external", 2), Rate("anonymous", 1))


class _Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 50), st.lists(st.floats(0, 120), max_size=200))
async def test_no_minute_lets_through_more_than_a_full_bucket_and_what_comes_back(
    size: int, pauses: list[float]
) -> None:
    time = _Time()
    limiter = LocalRateLimiter(time)
    allowed: list[float] = []
    for pause in pauses:
        time.now += pause
        verdict = await limiter.take(Rate("r", size), "k")
        assert 0 <= verdict.remaining <= size
        assert verdict.allowed == (verdict.retry_after == 0)
        if verdict.allowed:
            allowed.append(time.now)
    for position, first in enumerate(allowed):
        within = sum(1 for each in allowed[position:] if each - first < 60)
        assert within <= 2 * size


async def test_a_refused_request_may_come_again_when_it_was_told() -> None:
    time = _Time()
    limiter = LocalRateLimiter(time)
    rate = Rate("r", 6)
    for _ in range(6):
        assert (await limiter.take(rate, "k")).allowed
    refused = await limiter.take(rate, "k")
    assert not refused.allowed
    assert dict(refused.headers) == {
        b"x-ratelimit-limit": b"6",
        b"x-ratelimit-remaining": b"0",
        b"x-ratelimit-reset": b"60",
        b"retry-after": b"10",
    }
    assert (await limiter.take(rate, "other")).allowed
    time.now += refused.retry_after
    assert (await limiter.take(rate, "k")).allowed


async def test_d7_many_keys_of_one_person_share_a_bucket_through_every_door() -> None:
    edge = Edge(rates=SMALL)
    allowed = [await edge.admit({"path": "/api/v2/x"}, each, "") for each in (BY_KEY, BY_OTHER_KEY, BY_KEY, BY_KEY)]
    assert [each is not None and each.allowed for each in allowed] == [True, True, True, False]
    external = [await edge.admit({"path": "/external-api/v1/me"}, BY_KEY, "") for _ in range(3)]
    assert [each is not None and each.allowed for each in external] == [True, True, False]


async def test_the_person_at_the_machine_is_not_held_back_unless_the_operator_says_so() -> None:
    for _ in range(5):
        assert await Edge(rates=SMALL).admit({"path": "/"}, SIGNED_IN, "") is None
        assert await Edge(rates=SMALL).admit({"path": "/"}, None, "203.0.113.9") is None
        assert await Edge(rates=SMALL, limited=Limited.NOBODY).admit({"path": "/"}, BY_KEY, "") is None
    everybody = Edge(rates=SMALL, limited=Limited.EVERYBODY)
    assert await everybody.admit({"path": "/"}, SIGNED_IN, "") is not None
    assert await everybody.admit({"path": "/health"}, None, "203.0.113.9") is None
    anonymous = [await everybody.admit({"path": "/"}, None, "203.0.113.9") for _ in range(2)]
    assert [each is not None and each.allowed for each in anonymous] == [True, False]


async def test_starts_of_runs_have_a_limit_of_their_own() -> None:
    edge = Edge(rates=SMALL)
    scope: dict[str, Any] = {"path": "/", VERDICTS: []}
    await edge.admit_start(scope, BY_KEY)
    await edge.admit_start(scope, BY_OTHER_KEY)
    with pytest.raises(RateLimited) as refused:
        await edge.admit_start(scope, BY_KEY)
    assert refused.value.retry_after == 30
    told = tightest(scope[VERDICTS])
    assert told is not None
    assert (told.allowed, told.limit) == (False, 2)
    await edge.admit_start({"path": "/"}, SIGNED_IN)
