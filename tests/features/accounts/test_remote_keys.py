"""Keys of others: right whenever they can be told, and seldom asked for, whatever happens in whatever order."""

import asyncio
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.features.accounts.conftest import ToldClock
from tests.supabase_project import published
from treadle.features.accounts.errors import ElsewhereFailed, KeysUnavailable
from treadle.features.accounts.remote_keys import RemoteKeys

_PUBLISHED = {name: published(ec.generate_private_key(ec.SECP256R1()), name, "ES256") for name in "abc"}
_NAMES = st.sampled_from([*_PUBLISHED, "unknown"])
_STEPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1.0, 14.0, 15.0, 599.0, 600.0, 86_000.0])),
    st.tuples(st.just("publish"), st.sets(st.sampled_from([*_PUBLISHED]))),
    st.tuples(st.just("down"), st.booleans()),
    st.tuples(st.just("ask"), st.lists(_NAMES, min_size=1, max_size=6)),
)


class World:
    """An issuer, and whoever wants its keys."""

    def __init__(self) -> None:
        self.clock = ToldClock()
        self.keys = RemoteKeys(self.ask, "the issuer", self.clock)
        self.there: set[str] = set()
        self.down = False
        self.fetches: list[float] = []
        self.seen: list[tuple[float, set[str]]] = []
        """What was fetched, and when."""

    async def ask(self) -> Any:
        self.fetches.append(self.clock.monotonic())
        await asyncio.sleep(0)
        if self.down:
            raise ElsewhereFailed("issuer.test", "it is down")
        self.seen.append((self.clock.monotonic(), set(self.there)))
        return {"keys": [_PUBLISHED[name] for name in sorted(self.there)]}

    async def wanted(self, name: str) -> None:
        """Ask for a key, and check the answer when it is given: what another one has fetched later does not count."""
        try:
            found = await self.keys.get(name) is not None
        except KeysUnavailable:
            self.check(name, None)
        else:
            self.check(name, found)

    async def step(self, what: str, value: Any) -> None:
        if what == "wait":
            self.clock.go_on(value)
        elif what == "publish":
            self.there = value
        elif what == "down":
            self.down = value
        else:
            await asyncio.gather(*map(self.wanted, value))

    def check(self, name: str, found: bool | None) -> None:
        """Whether there is such a key; None when that cannot be told."""
        now = self.clock.monotonic()
        at, known = self.seen[-1] if self.seen else (float("-inf"), set())
        if found:
            assert name in known and now - at < 86_400, "only a key that was published, less than a day ago"
        if found is False:
            assert name not in known and at == self.fetches[-1], "only when the issuer has answered the last time"
        if found is None:
            assert at != self.fetches[-1], "only when it has not"
        if not self.down and now - self.fetches[-1] >= 15:
            assert found is not None and now - at < 600, "it would have been asked again"
        assert all(later - earlier >= 15 for earlier, later in zip(self.fetches, self.fetches[1:], strict=False))


@settings(max_examples=300)
@example([("publish", {"a"}), ("ask", ["a"]), ("wait", 15.0), ("publish", set()), ("ask", ["a", "unknown"])])
@given(st.lists(_STEPS, max_size=30))
def test_keys_are_right_and_seldom_asked_for(steps: list[tuple[str, Any]]) -> None:
    async def tried() -> None:
        world = World()
        for what, value in steps:
            await world.step(what, value)

    asyncio.run(tried())
