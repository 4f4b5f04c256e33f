"""One more way of coming in, for somebody who is here: with proof of both sides, and one always stays (case T2)."""

import asyncio
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import pytest

from tests.features.accounts.conftest import OWN, PASSWORD, Process, an_address, run
from tests.features.accounts.providers.trips import PAGE, Browser, both, count
from tests.features.accounts.test_sign_in import CHALLENGE, VERIFIER
from treadle.base.ids import OPERATOR, SessionId
from treadle.features.accounts.access import Identity
from treadle.features.accounts.errors import (
    BadState,
    BadVerifier,
    FlowNotFound,
    IdentityTaken,
    IdentityUnknown,
    InvalidCredentials,
    LastIdentity,
    ProviderOff,
    ValidationFailed,
)
from treadle.features.accounts.links import Challenge, Return
from treadle.features.accounts.providers.provider import Wishes
from treadle.features.accounts.sessions import SignedIn

BACK = Return(PAGE, Challenge(CHALLENGE))


async def known(process: Process, who: SignedIn) -> Identity:
    identity = await process.accounts.identify(who.access_token)
    assert identity is not None
    return identity


async def code_of(process: Process, who: SignedIn, browser: Browser, provider: str) -> str:
    """The code that somebody's page gets who links a provider, with this browser."""
    address = await process.door.providers.ticket(await known(process, who), provider, BACK, Wishes(("gist",)))
    assert address.startswith(f"{OWN}/authorize?provider={provider}&ticket=")
    page, values = await browser.comes(await browser.follows(address))
    assert page == PAGE, values
    return values["code"]


@both
async def test_somebody_links_a_provider_and_comes_in_through_it(
    process: Process, browser: Browser, provider: str
) -> None:
    who = await process.signed_up()
    code = await code_of(process, who, browser, provider)
    assert await count(process, "identities") == 1, "nothing is linked before the code is exchanged"
    linked = await process.door.sign_in.with_code(code, VERIFIER)
    assert linked.person.user.id == who.person.user.id
    again = await Browser(process, browser.there).signs_in(provider)
    assert again.person.user.id == who.person.user.id
    assert [each.issuer.partition("@")[0] for each in again.person.identities] == ["email", provider]
    assert not again.person.user.email_proven, "the provider knows another address"
    acts = "SELECT count(*) FROM audit_log WHERE action = 'identity.linked' AND actor = $1"
    assert await run(process.urls.owner, acts, who.person.user.id) == 1


async def test_an_address_is_proven_by_the_provider_that_knows_it(process: Process, browser: Browser) -> None:
    who = await process.signed_up(browser.there.person.email)
    await process.door.sign_in.with_code(await code_of(process, who, browser, "github"), VERIFIER)
    assert (await browser.signs_in("google")).person.user.id == who.person.user.id


async def test_an_address_that_nobody_has_verified_can_be_linked_as_well(process: Process, browser: Browser) -> None:
    who = await process.signed_up(browser.there.person.email)
    browser.there.person.verified = False
    linked = await process.door.sign_in.with_code(await code_of(process, who, browser, "github"), VERIFIER)
    assert [each.email for each in linked.person.identities] == [browser.there.person.email, None]
    assert not linked.person.user.email_proven


async def test_t2_whoever_is_led_to_the_address_is_linked_to_nobody(process: Process, browser: Browser) -> None:
    """A stranger has asked, and somebody else opens the address: they cannot show the verifier."""
    stranger = await process.signed_up()
    code = await code_of(process, stranger, browser, "github")
    with pytest.raises(BadVerifier):
        await process.door.sign_in.with_code(code, "w" * 43)
    assert await count(process, "identities") == 1
    assert (await browser.signs_in("github")).person.user.id != stranger.person.user.id
    with pytest.raises(IdentityTaken):
        await process.door.sign_in.with_code(code, VERIFIER)


async def test_an_address_is_good_once_and_for_ten_minutes(process: Process, browser: Browser) -> None:
    who = await process.signed_up()
    providers = process.door.providers
    address = await providers.ticket(await known(process, who), "github", BACK, Wishes())
    ticket = dict(parse_qsl(urlsplit(address).query))["ticket"]
    await browser.follows(address)
    late = await providers.ticket(await known(process, who), "github", BACK, Wishes())
    process.clock.go_on(600)
    state = (await browser.goes("github"))["state"]
    for each in (ticket, dict(parse_qsl(urlsplit(late).query))["ticket"], "made up", "", state):
        with pytest.raises(BadState):
            await providers.begin_linking(each, None)
    _, values = await browser.comes({"state": ticket, "code": "x"})
    assert values["error_code"] == "bad_oauth_state"


@pytest.mark.parametrize("ends", ["signed out", "disabled"])
async def test_a_session_that_has_ended_links_nothing_any_more(process: Process, browser: Browser, ends: str) -> None:
    who = await process.signed_up()
    code = await code_of(process, who, browser, "github")
    if ends == "disabled":
        await run(process.urls.owner, "UPDATE users SET disabled_at = now() WHERE id = $1", who.person.user.id)
    else:
        await process.sessions.end(await known(process, who), "global")
    with pytest.raises(FlowNotFound):
        await process.door.sign_in.with_code(code, VERIFIER)
    assert await count(process, "identities") == 1


async def test_what_is_somebodys_already_is_linked_to_nobody_else(process: Process, browser: Browser) -> None:
    owner = await browser.signs_in("github")
    who = await process.signed_up()
    for each in (who, owner):
        address = await process.door.providers.ticket(await known(process, each), "github", BACK, Wishes())
        page, values = await browser.comes(await browser.follows(address))
        assert (page, values["error_code"]) == (PAGE, "identity_already_exists")


async def test_of_two_who_link_the_same_at_once_one_gets_it(process: Process, browser: Browser) -> None:
    people = [await process.signed_up() for _ in range(2)]
    codes = [await code_of(process, each, Browser(process, browser.there), "github") for each in people]
    exchanged = [process.door.sign_in.with_code(each, VERIFIER) for each in codes]
    ended = await asyncio.gather(*exchanged, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["IdentityTaken", "SignedIn"]


async def test_what_cannot_be_linked_is_told(process: Process) -> None:
    providers, who = process.door.providers, await known(process, await process.signed_up())
    with pytest.raises(ProviderOff):
        await providers.ticket(who, "gitlab", BACK, Wishes())
    with pytest.raises(ValidationFailed, match="challenge"):
        await providers.ticket(who, "github", Return(PAGE), Wishes())
    for elsewhere in (Identity(OPERATOR, admin=True), Identity(who.user, session=SessionId(uuid4()))):
        with pytest.raises(ValidationFailed, match="elsewhere"):
            await providers.ticket(elsewhere, "github", BACK, Wishes())


async def test_one_way_of_coming_in_always_stays(process: Process, browser: Browser) -> None:
    email = an_address()
    who = await process.signed_up(email)
    linked = await process.door.sign_in.with_code(await code_of(process, who, browser, "github"), VERIFIER)
    identity, own = await known(process, linked), process.door.own_account
    ids = [each.id for each in linked.person.identities]
    other = await process.signed_up()
    for id in (uuid4(), other.person.identities[0].id):
        with pytest.raises(IdentityUnknown):
            await own.unlink(identity, id)
    ended = await asyncio.gather(*(own.unlink(identity, each) for each in ids), return_exceptions=True)
    assert sorted(map(str, ended)) == sorted(["None", str(LastIdentity())])
    left = ids[[each is None for each in ended].index(False)]
    with pytest.raises(LastIdentity):
        await own.unlink(identity, left)
    if left == ids[1]:
        with pytest.raises(InvalidCredentials):
            await process.door.sign_in.with_password(email, PASSWORD)
        assert await count(process, "passwords") == 1, "the other one's"
    else:
        assert (await browser.signs_in("github")).person.user.id != who.person.user.id


async def test_without_the_address_the_password_is_gone(process: Process, browser: Browser) -> None:
    email = an_address()
    who = await process.signed_up(email)
    linked = await process.door.sign_in.with_code(await code_of(process, who, browser, "google"), VERIFIER)
    by_address = next(each for each in linked.person.identities if each.issuer == "email")
    await process.door.own_account.unlink(await known(process, linked), UUID(str(by_address.id)))
    with pytest.raises(InvalidCredentials):
        await process.door.sign_in.with_password(email, PASSWORD)
    assert (await browser.signs_in("google")).person.user.id == who.person.user.id
    assert await count(process, "passwords") == 0
