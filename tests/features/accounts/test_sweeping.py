"""What nobody can use any more goes, and nothing that somebody still can."""

from datetime import timedelta
from typing import Any

import pytest

from tests.features.accounts.conftest import PASSWORD, Process, an_address, run
from treadle.base.ids import ApiKeyId
from treadle.features.accounts.access import Role, Scope
from treadle.features.accounts.api_keys import ApiKeys
from treadle.features.accounts.errors import RefreshTokenUsed
from treadle.features.accounts.invitations import Wanted
from treadle.features.accounts.links import Return
from treadle.features.accounts.sweeping import sweep_accounts

DAYS = "interval '1 day' * $1"


async def age(process: Process, days: float, *changes: str) -> None:
    """Let things be older: each change is ``table: column, column``."""
    for change in changes:
        table, _, columns = change.partition(": ")
        for column in columns.split(", "):
            await run(process.urls.owner, f"UPDATE {table} SET {column} = {column} - {DAYS}", days)


async def counts(process: Process) -> dict[str, Any]:
    tables = ("sessions", "refresh_tokens", "one_time_tokens", "invitations", "throttles", "api_keys", "signing_keys")
    return {each: await run(process.urls.owner, f"SELECT count(*) FROM {each}") for each in tables}


@pytest.mark.parametrize(("days", "left"), [(29, 1), (31, 0)])
async def test_sessions_that_have_ended_go_with_their_tokens(process: Process, days: int, left: int) -> None:
    who, stays = await process.someone(), await process.someone()
    identity = await process.accounts.identify(who.access_token)
    assert identity is not None
    await process.sessions.end(identity, "global")
    await age(process, days, "sessions: ended_at")
    await sweep_accounts(process.urls.auth)
    found = await counts(process)
    assert (found["sessions"], found["refresh_tokens"]) == (1 + left, 1 + left)
    assert await process.sessions.carry_on(stays.refresh_token)


@pytest.mark.parametrize(("days", "left"), [(59, 1), (61, 0)])
async def test_sessions_that_nobody_carries_on_go(process: Process, days: int, left: int) -> None:
    await process.someone()
    await age(process, days, "sessions: refreshed_at")
    await sweep_accounts(process.urls.auth)
    assert (await counts(process))["sessions"] == left


async def test_a_used_refresh_token_is_known_as_used_for_as_long_as_a_copy_matters(process: Process) -> None:
    who = await process.someone()
    later = await process.sessions.carry_on(who.refresh_token)
    await age(process, 59, "refresh_tokens: used_at")
    await sweep_accounts(process.urls.auth)
    assert (await counts(process))["refresh_tokens"] == 2
    with pytest.raises(RefreshTokenUsed):
        await process.sessions.carry_on(who.refresh_token)
    again = await process.someone()
    goes_on = await process.sessions.carry_on(again.refresh_token)
    await age(process, 61, "refresh_tokens: used_at")
    await sweep_accounts(process.urls.auth)
    assert await process.sessions.carry_on(goes_on.refresh_token), "the one that is good stays"
    assert later.refresh_token != who.refresh_token


@pytest.mark.parametrize(("days", "left"), [(1.5, 1), (2.5, 0)])
async def test_links_that_have_run_out_go(mailing: Process, days: float, left: int) -> None:
    # A link of a sign-up is good for a day, and known for one more.
    await mailing.door.sign_up.with_password(an_address(), PASSWORD, None, Return())
    await mailing.done()
    await age(mailing, days, "one_time_tokens: expires_at")
    await sweep_accounts(mailing.urls.auth)
    assert (await counts(mailing))["one_time_tokens"] == left


async def test_a_link_that_is_good_stays(mailing: Process) -> None:
    await mailing.door.sign_up.with_password(an_address(), PASSWORD, None, Return())
    await mailing.done()
    await sweep_accounts(mailing.urls.auth)
    assert mailing.post is not None
    assert await mailing.door.mailed_links.come_back("signup", mailing.post.token())


async def test_invitations_go_a_month_after_they_are_of_no_use(process: Process) -> None:
    who = await process.as_principal(await process.someone())
    made = [await process.invitations.invite(who, Wanted(an_address(), Role.VIEWER)) for _ in range(3)]
    await process.invitations.revoke(who, made[0].id)
    other = await process.as_principal(await process.someone())
    await process.invitations.accept(other, made[1].link.partition("=")[2])
    for days, left in ((29, 3), (2, 1)):  # the third is open, and good for a week
        await age(process, days, "invitations: accepted_at, revoked_at")
        await sweep_accounts(process.urls.auth)
        assert (await counts(process))["invitations"] == left
    await age(process, 38, "invitations: expires_at")
    await sweep_accounts(process.urls.auth)
    assert (await counts(process))["invitations"] == 0
    assert await run(process.urls.owner, "SELECT count(*) FROM audit_log WHERE action ~ '^invitation'") == 5


async def test_api_keys_go_ninety_days_after_they_are_of_no_use(process: Process) -> None:
    who = await process.as_principal(await process.someone())
    keys = ApiKeys(process.storage, process.accounts)
    lasting, secret = await keys.create(who, "lasting", [Scope.IDENTITY])
    revoked, _ = await keys.create(who, "revoked", [Scope.IDENTITY])
    brief, _ = await keys.create(who, "brief", [Scope.IDENTITY], timedelta(hours=1))
    both, _ = await keys.create(who, "both", [Scope.IDENTITY], timedelta(hours=1))
    await keys.revoke(who, ApiKeyId(revoked.id))
    await age(process, 89, "api_keys: created_at, revoked_at, expires_at")
    await keys.revoke(who, ApiKeyId(both.id))  # ran out long ago; it counts from now
    await sweep_accounts(process.urls.auth)
    assert (await counts(process))["api_keys"] == 4
    await age(process, 2, "api_keys: revoked_at, expires_at")
    await sweep_accounts(process.urls.auth)
    left = await run(process.urls.owner, "SELECT array_agg(id ORDER BY id) FROM api_keys")
    assert left == [lasting.id, both.id]
    assert await process.accounts.identify_key(secret), "the one that is good stays"
    told = "SELECT array_agg(details ->> 'name' ORDER BY id) FROM audit_log WHERE action = 'api_key.created'"
    assert await run(process.urls.owner, told) == ["lasting", "revoked", "brief", "both"]
    assert brief.id not in left


async def test_signing_keys_go_a_day_after_they_were_retired(process: Process) -> None:
    who = await process.someone()
    await process.keys.exchange()
    await age(process, 0.9, "signing_keys: retired_at")
    await sweep_accounts(process.urls.auth)
    assert (await counts(process))["signing_keys"] == 2
    assert await process.accounts.identify((await process.someone()).access_token)
    await age(process, 0.2, "signing_keys: retired_at")
    await sweep_accounts(process.urls.auth)
    assert (await counts(process))["signing_keys"] == 1, "the one that signs stays"
    assert await process.accounts.identify((await process.sessions.carry_on(who.refresh_token)).access_token)


async def test_counts_of_tries_go_when_they_say_nothing_any_more(process: Process) -> None:
    await process.signed_up()
    assert (await counts(process))["throttles"] > 0
    await sweep_accounts(process.urls.auth)
    assert (await counts(process))["throttles"] > 0
    await age(process, 1.1, "throttles: updated_at")
    await sweep_accounts(process.urls.auth)
    assert (await counts(process))["throttles"] == 0
