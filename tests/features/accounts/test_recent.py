"""What is kept for some seconds: never too old, asked for once, and forgotten for good."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from treadle.features.accounts.recent import Recent

KEYS = st.sampled_from("abc")


class Source:
    """The truth, which can be changed, and answers when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.values: dict[str, int] = dict.fromkeys("abc", 0)
        self.asked = 0
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()
        self.recent = Recent(self.ask, 5.0, lambda: self.now, most=2)

    async def ask(self, key: str) -> int:
        self.asked += 1
        found = self.values[key]
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        return found


async def test_an_answer_is_kept_and_then_asked_for_again() -> None:
    source = Source()
    assert [await source.recent.get("a") for _ in range(3)] == [0, 0, 0]
    assert source.asked == 1
    source.values["a"] = 1
    source.now = 4.9
    assert await source.recent.get("a") == 0
    source.now = 5.0
    assert await source.recent.get("a") == 1


async def test_many_who_want_the_same_ask_once_and_one_who_leaves_spoils_nothing() -> None:
    source = Source()
    source.gate = asyncio.Event()
    waiting = [asyncio.create_task(source.recent.get("a")) for _ in range(5)]
    await source.begun.wait()
    waiting[0].cancel()
    source.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [0, 0, 0, 0]
    assert source.asked == 1


async def test_what_was_under_way_when_it_changed_is_not_kept() -> None:
    source = Source()
    source.gate = asyncio.Event()
    waiting = asyncio.create_task(source.recent.get("a"))
    await source.begun.wait()
    source.values["a"] = 1
    source.recent.forget(lambda key: key == "a")
    source.gate.set()
    assert await waiting == 0, "who had asked before the change may hear what was true before it"
    assert await source.recent.get("a") == 1


async def test_a_failure_is_told_to_all_and_not_kept() -> None:
    source = Source()
    del source.values["a"]
    for _ in range(2):
        with pytest.raises(KeyError):
            await source.recent.get("a")
    source.values["a"] = 3
    assert await source.recent.get("a") == 3


class Kept(RuleBasedStateMachine):
    """Whatever happens in whatever order: an answer is at most five seconds old, and newer than what was forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.source = Source()
        self.changed_at: dict[str, list[tuple[float, int]]] = {key: [(-100.0, 0)] for key in "abc"}
        self.told = dict.fromkeys("abc", 0)

    @rule(key=KEYS, tell=st.booleans())
    def change(self, key: str, tell: bool) -> None:
        self.source.values[key] += 1
        self.changed_at[key].append((self.source.now, self.source.values[key]))
        if tell:
            self.source.recent.forget(lambda each: each == key)
            self.told[key] = self.source.values[key]

    @rule(seconds=st.floats(0.1, 7))
    def wait(self, seconds: float) -> None:
        self.source.now += seconds

    @rule(key=KEYS)
    def look(self, key: str) -> None:
        found = asyncio.run(self.source.recent.get(key))
        oldest = [value for at, value in self.changed_at[key] if at <= self.source.now - 5.0][-1]
        assert max(oldest, self.told[key]) <= found <= self.source.values[key]

    @invariant()
    def little_is_kept(self) -> None:
        assert len(list(self.source.recent.items())) <= 2


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=50, stateful_step_count=30)
