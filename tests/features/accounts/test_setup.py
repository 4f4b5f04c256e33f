"""The first account (cases T4, T5): made once, with a link that only the machine has printed."""

import asyncio

import pytest

from tests.features.accounts.conftest import PASSWORD, Process, an_address, run
from treadle.base.errors import Conflict
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.features.accounts.access import Role
from treadle.features.accounts.errors import BadEmail, LinkExpired, SignUpClosed, WeakPassword
from treadle.features.accounts.links import Return
from treadle.features.accounts.sessions import SignedIn


async def token_of(process: Process) -> str:
    link = await process.door.setup.link()
    assert link is not None and link.startswith("https://treadle.test/setup#token=")
    return link.partition("=")[2]


async def test_t5_the_link_makes_the_owner_once(process: Process) -> None:
    assert await process.door.setup.is_needed()
    token = await token_of(process)
    assert token not in await run(process.urls.owner, "SELECT string_agg(t::text, '') FROM one_time_tokens t")
    email = an_address()
    owner = await process.door.setup.complete(token, email, PASSWORD, "Ann")
    identity = await process.accounts.identify(owner.access_token)
    assert identity is not None and identity.admin
    here = await process.accounts.principal(identity, None)
    assert (here.workspace, here.role) == (LOCAL_WORKSPACE, Role.OWNER), "what the machine's person has made is theirs"
    assert not await process.door.setup.is_needed()
    assert await process.door.setup.link() is None
    with pytest.raises(LinkExpired):
        await process.door.setup.complete(token, an_address(), PASSWORD, "")
    assert await process.door.sign_in.with_password(email, PASSWORD)


async def test_t5_only_the_newest_link_is_good_and_for_a_day(process: Process) -> None:
    first, second = await token_of(process), await token_of(process)
    for wrong in (first, "", "x", second[:-1]):
        with pytest.raises(LinkExpired):
            await process.door.setup.complete(wrong, an_address(), PASSWORD, "")
    process.clock.go_on(24 * 3600)
    with pytest.raises(LinkExpired):
        await process.door.setup.complete(second, an_address(), PASSWORD, "")
    assert await process.door.setup.complete(await token_of(process), an_address(), PASSWORD, "")


async def test_a_mistake_does_not_use_the_link_up(process: Process) -> None:
    token = await token_of(process)
    with pytest.raises(WeakPassword):
        await process.door.setup.complete(token, an_address(), "short", "")
    with pytest.raises(BadEmail):
        await process.door.setup.complete(token, "ann", PASSWORD, "")
    assert await process.door.setup.complete(token, an_address(), PASSWORD, "")


async def test_of_many_at_once_one_becomes_the_owner(process: Process) -> None:
    token = await token_of(process)
    done = await asyncio.gather(
        *(process.door.setup.complete(token, an_address(), PASSWORD, "") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(each, SignedIn) for each in done) == 1
    assert all(isinstance(each, SignedIn | LinkExpired | Conflict) for each in done)
    assert await run(process.urls.owner, "SELECT count(*) FROM users WHERE admin") == 1


async def test_t5_nobody_comes_in_before_the_owner(process: Process) -> None:
    process.door.desk.admission.policy = "invited"
    with pytest.raises(SignUpClosed):
        await process.door.sign_up.with_password(an_address(), PASSWORD, None, Return())


async def test_an_administrator_who_was_disabled_does_not_open_the_door_again(process: Process) -> None:
    owner = await process.door.setup.complete(await token_of(process), an_address(), PASSWORD, "")
    await process.someone(admin=True)
    await run(process.urls.owner, "UPDATE users SET disabled_at = now() WHERE id = $1", owner.person.user.id)
    assert await process.door.setup.link() is None
