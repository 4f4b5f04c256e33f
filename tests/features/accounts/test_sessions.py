"""Sessions: carried on with tokens that are good once, and over when one of them comes a second time."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.features.accounts.conftest import Process, ToldClock, run
from treadle.base.database import DatabaseUrls
from treadle.base.ids import UserId
from treadle.features.accounts.access import Identity
from treadle.features.accounts.errors import (
    AccountDisabled,
    RefreshTokenUnknown,
    RefreshTokenUsed,
    SessionExpired,
    SessionGone,
)
from treadle.features.accounts.sessions import IDLE, SignedIn, SignOutScope

T = TypeVar("T")


async def test_a_token_is_good_once(process: Process) -> None:
    first = await process.someone()
    second = await process.sessions.carry_on(first.refresh_token)
    assert second.session == first.session and second.refresh_token != first.refresh_token
    assert await process.is_good(second.access_token) and await process.is_good(first.access_token)
    with pytest.raises(RefreshTokenUsed):
        await process.sessions.carry_on(first.refresh_token)
    for each in (first, second):
        assert not await process.is_good(each.access_token)
        with pytest.raises(RefreshTokenUsed):
            await process.sessions.carry_on(each.refresh_token)
    reasons = await run(process.urls.owner, "SELECT array_agg(end_reason) FROM sessions")
    assert reasons == ["reuse"]
    told = "SELECT details ->> 'reason' FROM audit_log WHERE action = 'session.ended'"
    assert await run(process.urls.owner, told) == "reuse"


async def test_of_many_who_come_at_once_with_one_token_none_keeps_the_session(process: Process) -> None:
    first = await process.someone()
    came = await asyncio.gather(
        *(process.sessions.carry_on(first.refresh_token) for _ in range(4)), return_exceptions=True
    )
    new = [each for each in came if isinstance(each, SignedIn)]
    assert len(new) == 1 and all(isinstance(each, RefreshTokenUsed | SignedIn) for each in came)
    assert not await process.is_good(new[0].access_token)


@pytest.mark.parametrize("token", ["", "x", "\ud800", "\0", "A" * 5_000])
async def test_what_is_no_token_is_unknown(process: Process, token: str) -> None:
    with pytest.raises(RefreshTokenUnknown):
        await process.sessions.carry_on(token)


async def test_a_session_that_nobody_carries_on_is_over_after_a_month(process: Process) -> None:
    session = await process.someone()
    process.clock.go_on((IDLE - timedelta(hours=1)).total_seconds())
    session = await process.sessions.carry_on(session.refresh_token)
    process.clock.go_on((IDLE + timedelta(hours=1)).total_seconds())
    with pytest.raises(SessionExpired):
        await process.sessions.carry_on(session.refresh_token)


async def test_a_disabled_person_carries_nothing_on(process: Process) -> None:
    session = await process.someone()
    user = session.person.user.id
    await run(process.urls.owner, "UPDATE users SET disabled_at = now() WHERE id = $1", user)
    with pytest.raises(AccountDisabled):
        await process.sessions.carry_on(session.refresh_token)
    with pytest.raises(AccountDisabled):
        await process.sign_in(UserId(user))


async def test_the_start_token_has_no_session_to_end(process: Process) -> None:
    operator = await process.accounts.identify("a-start-token-that-only-the-tests-know")
    assert operator is not None
    with pytest.raises(SessionGone):
        await process.sessions.end(operator, "global")


async def test_a_session_knows_where_it_was_begun(process: Process) -> None:
    from treadle.base.circumstances import Sender, sender  # noqa: PLC0415

    token = sender.set(Sender("192.0.2.7", "A browser"))
    try:
        await process.someone()
    finally:
        sender.reset(token)
    assert await run(process.urls.owner, "SELECT address || ' ' || agent FROM sessions") == "192.0.2.7 A browser"
    assert await run(process.urls.owner, "SELECT count(*) FROM audit_log WHERE address = '192.0.2.7'") == 2


class Sessions(RuleBasedStateMachine):
    """Whatever two people with several devices and thieves do in whatever order: exactly the open sessions are good."""

    held = Bundle("held")

    def __init__(self, process: Process, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.process = process
        self.loop = loop
        self.open: dict[Any, str] = {}
        """The one good refresh token of each open session."""
        self.given: list[SignedIn] = []
        self.people: list[UserId] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    @initialize()
    def two_people(self) -> None:
        for _ in range(2):
            self.know(self.do(self.process.someone()))
            self.people.append(UserId(self.given[-1].person.user.id))

    def know(self, signed_in: SignedIn) -> SignedIn:
        self.open[signed_in.session] = signed_in.refresh_token
        self.given.append(signed_in)
        return signed_in

    @rule(target=held, who=st.integers(0, 1))
    def sign_in(self, who: int) -> SignedIn:
        return self.know(self.do(self.process.sign_in(self.people[who])))

    @rule(target=held, mine=held)
    def refresh(self, mine: SignedIn) -> SignedIn:
        good = self.open.get(mine.session) == mine.refresh_token
        try:
            new = self.do(self.process.sessions.carry_on(mine.refresh_token))
        except (RefreshTokenUsed, SessionExpired):
            assert not good
            self.open.pop(mine.session, None)
            return mine
        assert good
        return self.know(new)

    @rule(mine=held, scope=st.sampled_from(["global", "local", "others"]))
    def sign_out(self, mine: SignedIn, scope: SignOutScope) -> None:
        identity = self.do(self.process.accounts.identify(mine.access_token))
        assert (identity is not None) == (mine.session in self.open)
        if identity is None:
            return
        self.do(self.process.sessions.end(identity, scope))
        user = mine.person.user.id
        for session in [each.session for each in self.given if each.person.user.id == user]:
            if {"global": True, "local": session == mine.session, "others": session != mine.session}[scope]:
                self.open.pop(session, None)

    @invariant()
    def the_open_ones_are_good(self) -> None:
        for each in self.given:
            identity = self.do(self.process.accounts.identify(each.access_token))
            expected = Identity(UserId(each.person.user.id), False, each.session)
            assert identity == (expected if each.session in self.open else None)


async def test_whatever_happens_exactly_the_open_sessions_are_good(database: DatabaseUrls, tmp_path: Path) -> None:
    process = Process(database, tmp_path, ToldClock())
    loop = asyncio.get_running_loop()
    tried = settings(max_examples=15, stateful_step_count=15, suppress_health_check=list(HealthCheck))
    with ThreadPoolExecutor(1) as thread:
        machine: Any = partial(Sessions, process, loop)
        await loop.run_in_executor(thread, lambda: run_state_machine_as_test(machine, settings=tried))
    await process.database.close()
