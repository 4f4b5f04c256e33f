"""Signing in through GitHub and Google: who is let in, as whom, and who is not (cases T2, T3, T11)."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.company import CLIENT_ID, Company, Person, company
from tests.features.accounts.conftest import PASSWORD, URL, Post, Process, an_address, run
from tests.features.accounts.providers.trips import PAGE, SECRET, Browser, both, count, somebody
from tests.features.accounts.test_sign_in import CHALLENGE, VERIFIER, coming_from
from tests.integrations.descriptions import problems
from tests.integrations.replay import Seen
from treadle.base.ids import LOCAL_WORKSPACE, UserId
from treadle.features.accounts.errors import BadVerifier, EmailTaken, FlowNotFound, ProviderOff, TooOften, UserExists
from treadle.features.accounts.links import Links, Return
from treadle.features.accounts.opaque import digest
from treadle.features.accounts.own_account import Changes
from treadle.features.accounts.providers.github import GitHub
from treadle.features.accounts.providers.provider import Trip, Wishes
from treadle.features.accounts.registration import Newcomer, register
from treadle.features.accounts.sign_up import SignUp
from treadle.features.accounts.throttle import LINK_ADDRESS, PROVIDER_ADDRESS
from treadle.sdk.http import EgressClient

# ---- who comes in ---------------------------------------------------------------------------------------------------


@both
async def test_somebody_comes_in_and_is_known_the_next_time(process: Process, browser: Browser, provider: str) -> None:
    person = browser.there.person
    first = await browser.signs_in(provider)
    user = first.person.user
    assert (user.email, user.email_proven, user.admin) == (person.email, True, False)
    assert user.email_confirmed_at is not None and user.profile["name"] == "Ann Example"
    assert [(each.issuer, each.subject) for each in first.person.identities] == [
        (f"{provider}@{browser.there.place}", str(person.number))
    ]
    claims = jwt.decode(first.access_token, options={"verify_signature": False})
    assert claims["app_metadata"] == {"provider": provider, "providers": [provider]}
    assert claims["amr"][0]["method"] == "oauth"
    identity = await process.accounts.identify(first.access_token)
    assert identity is not None
    own = await process.accounts.principal(identity, None)
    assert own.role == "owner" and own.workspace != LOCAL_WORKSPACE
    person.email, person.name = an_address(), "Ann Other"
    again = await Browser(process, browser.there).signs_in(provider)
    assert again.person.user.id == user.id and again.person.user.email != person.email
    assert again.person.identities[0].email == person.email, "what the provider says now"
    assert again.person.identities[0].last_sign_in_at is not None
    assert await count(process, "users") == 2, "and the operator"


@both
async def test_whoever_cannot_show_anything_gets_a_session(process: Process, browser: Browser, provider: str) -> None:
    page, values = await browser.comes(await browser.goes(provider, challenge=None))
    assert page == PAGE and values["token_type"] == "bearer" and "code" not in values and "type" not in values
    assert await process.is_good(values["access_token"])


async def test_what_a_client_wishes_is_passed_on(process: Process, browser: Browser) -> None:
    back, wishes = Return(PAGE, None), Wishes(("gist", "user:email"), "select_account", "ann")
    for name, asked in (
        ("github", {"scope": "user:email gist", "prompt": "select_account", "login": "ann"}),
        ("google", {"scope": "openid email profile gist user:email", "login_hint": "ann"}),
    ):
        departure = await process.door.providers.begin(name, back, wishes, None)
        query = dict(parse_qsl(urlsplit(departure.address).query))
        assert asked.items() <= query.items()


async def test_several_trips_of_one_browser_do_not_disturb_each_other(browser: Browser) -> None:
    first, second = await browser.goes("github"), await browser.goes("google")
    for brought in (second, first):
        assert set((await browser.comes(brought))[1]) == {"code"}


async def test_of_many_who_come_at_once_one_account_is_made(process: Process, there: Company) -> None:
    browsers = [Browser(process, there) for _ in range(6)]
    ways = ["github", "google"] * 3
    made = await asyncio.gather(*(each.signs_in(way) for each, way in zip(browsers, ways, strict=True)))
    assert len({each.person.user.id for each in made}) == 1
    assert await count(process, "identities") == 2


async def test_what_the_api_is_asked_is_as_github_describes_it(browser: Browser, shared: Path) -> None:
    await browser.signs_in("github")
    assert len(browser.there.seen) == 2
    for method, path, headers in browser.there.seen:
        assert problems(shared, "github", Seen(method, f"https://api.github.com{path}", headers, None)) == []


async def test_acts_are_written_down(process: Process, browser: Browser) -> None:
    await browser.signs_in("github")
    browser.there.person = Person(8, an_address(), verified=False)
    await browser.is_refused("github", "provider_email_needs_verification")
    acts = await run(process.urls.owner, "SELECT array_agg(action ORDER BY id) FROM audit_log")
    assert acts == ["user.registered", "session.begun", "session.refused"]
    about = "SELECT details ->> 'reason' FROM audit_log WHERE action = 'session.refused'"
    assert await run(process.urls.owner, about) == "provider_email_needs_verification"


# ---- as whom --------------------------------------------------------------------------------------------------------


@both
async def test_t2_an_address_that_both_sides_have_proven_is_one_account(
    process: Process, browser: Browser, provider: str
) -> None:
    known = await somebody(process, browser.there.person.email, proven=True, admin=True)
    browser.there.person.email = browser.there.person.email.upper()
    signed_in = await browser.signs_in(provider)
    assert signed_in.person.user.id == known
    assert [each.issuer.partition("@")[0] for each in signed_in.person.identities] == ["email", provider]
    linked = "SELECT count(*) FROM audit_log WHERE action = 'identity.linked' AND actor = $1"
    assert await run(process.urls.owner, linked, known) == 1


@both
async def test_t2_an_address_that_somebody_has_merely_typed_in_is_another_account(
    process: Process, browser: Browser, provider: str
) -> None:
    known = await somebody(process, browser.there.person.email, proven=False, admin=True)
    signed_in = await browser.signs_in(provider)
    assert signed_in.person.user.id != known and not signed_in.person.user.admin


@both
async def test_t2_who_merely_says_an_address_is_nobody(process: Process, browser: Browser, provider: str) -> None:
    await somebody(process, browser.there.person.email, proven=True, admin=True)
    browser.there.person.verified = False
    values = await browser.is_refused(provider, "provider_email_needs_verification")
    assert values["error"] == "access_denied" and "Unverified email" in values["error_description"]
    assert await count(process, "identities") == 1


@both
async def test_who_is_known_comes_in_whatever_has_become_of_the_address(browser: Browser, provider: str) -> None:
    first = await browser.signs_in(provider)
    browser.there.person.verified = False
    again = await browser.signs_in(provider)
    assert again.person.user.id == first.person.user.id and again.person.identities[0].email is None


@pytest.mark.parametrize("mails", [False, True])
async def test_an_address_that_a_provider_has_proven_is_nobody_elses(
    process: Process, browser: Browser, mails: bool
) -> None:
    email = (await browser.signs_in("github")).person.user.email
    assert email is not None
    if not mails:
        with pytest.raises(UserExists):
            await process.signed_up(email)
        other = await process.signed_up()
        identity = await process.accounts.identify(other.access_token)
        assert identity is not None
        with pytest.raises(EmailTaken):
            await process.door.own_account.change(identity, Changes(email=email), Return())
        return
    post = Post()
    desk = replace(process.door.desk, links=Links(f"{URL}/auth/v1", post, process.clock))
    await SignUp(desk).with_password(email, PASSWORD, None, Return())
    await process.done()
    assert "account already" in post.sent[-1].subject


async def test_who_has_come_through_a_provider_can_have_a_password_too(process: Process, browser: Browser) -> None:
    first = await browser.signs_in("github")
    email = first.person.user.email
    assert email is not None
    link = await process.door.mailed_links.make(email)
    back = await process.door.mailed_links.come_back("recovery", link.partition("=")[2])
    identity = await process.accounts.identify(back.access_token)
    assert identity is not None and identity.user == first.person.user.id
    await process.door.own_account.change(identity, Changes(password=PASSWORD), Return())
    signed_in = await process.door.sign_in.with_password(email, PASSWORD)
    assert signed_in.person.user.id == first.person.user.id
    assert [each.issuer.partition("@")[0] for each in signed_in.person.identities] == ["github", "email"]


async def test_an_address_of_two_accounts_leads_to_neither(process: Process, browser: Browser) -> None:
    email = browser.there.person.email
    known = [await somebody(process, email, proven=True)]
    async with process.storage.repository() as accounts:
        known.append(UserId((await register(accounts, Newcomer("elsewhere", "7", email, proven=True))).id))
    assert (await browser.signs_in("github")).person.user.id not in known


async def test_t2_the_same_number_elsewhere_is_somebody_else(process: Process, browser: Browser) -> None:
    first = await browser.signs_in("github")
    browser.there.person.email = an_address()
    second = await browser.signs_in("google")
    assert first.person.user.id != second.person.user.id
    with company() as other:
        other.person = Person(browser.there.person.number, an_address())
        host, _, port = other.place.partition(":")
        async with EgressClient(allow=frozenset({(host, int(port))})) as http:
            github = GitHub(http, other.url, CLIENT_ID, SECRET)
            elsewhere = Process(process.urls, process.home, process.clock, providers=[github])
            third = await Browser(elsewhere, other).signs_in("github")
            await elsewhere.database.close()
    assert third.person.user.id not in (first.person.user.id, second.person.user.id)


async def test_t3_nothing_that_google_says_makes_an_administrator(browser: Browser) -> None:
    browser.there.claims = {
        "admin": True,
        "role": "service_role",
        "app_metadata": {"admin": True},
        "hd": "treadle.test",
    }
    assert not (await browser.signs_in("google")).person.user.admin


# ---- who may not ----------------------------------------------------------------------------------------------------


@both
async def test_whom_the_install_does_not_let_in_stays_outside(
    process: Process, browser: Browser, provider: str
) -> None:
    await browser.signs_in(provider)
    number = browser.there.person.number
    for policy in ("invited", "closed"):
        process.door.desk.admission.policy = policy
        browser.there.person = Person(number, an_address())
        await Browser(process, browser.there).signs_in(provider)
        browser.there.person = Person(number + 1, an_address())
        values = await browser.is_refused(provider, "signup_disabled")
        assert values["error"] == "access_denied"
    assert await count(process, "users") == 2


@pytest.mark.parametrize("by_link", [False, True])
async def test_whoever_is_invited_comes_in(process: Process, browser: Browser, by_link: bool) -> None:
    owner = await somebody(process, an_address(), proven=True)
    address = an_address() if by_link else browser.there.person.email
    await run(
        process.urls.auth,
        "INSERT INTO invitations (id, workspace_id, email, role, hash, invited_by, expires_at)"
        " VALUES (gen_random_uuid(), $1, $2, 'viewer', $3, $4, now() + interval '1 day')",
        LOCAL_WORKSPACE,
        address,
        digest("the link's token"),
        owner,
    )
    process.door.desk.admission.policy = "invited"
    if by_link:
        await browser.is_refused("github", "signup_disabled")
    signed_in = await browser.signs_in("github", **({"invitation": "the link's token"} if by_link else {}))
    parts = "SELECT count(*) FROM members WHERE user_id = $1 AND workspace_id = $2"
    assert await run(process.urls.owner, parts, signed_in.person.user.id, LOCAL_WORKSPACE) == int(by_link)


@both
@pytest.mark.parametrize("challenge", [CHALLENGE, None])
async def test_who_is_disabled_stays_outside(
    process: Process, browser: Browser, provider: str, challenge: str | None
) -> None:
    await browser.signs_in(provider)
    await run(process.urls.owner, "UPDATE users SET disabled_at = now() WHERE email IS NOT NULL")
    await browser.is_refused(provider, "user_banned", challenge=challenge)
    sign_ins = "SELECT count(*) FROM audit_log WHERE action = 'session.begun'"
    assert await run(process.urls.owner, sign_ins) == 1


async def test_a_provider_that_is_not_set_up_is_off(process: Process) -> None:
    assert process.door.providers.has("github") and not process.door.providers.has("gitlab")
    for name in ("gitlab", "", "GITHUB", "email"):
        with pytest.raises(ProviderOff):
            await process.door.providers.begin(name, Return(), Wishes(), None)


async def test_t16_one_place_does_not_begin_without_end(process: Process) -> None:
    with coming_from("192.0.2.1"):
        for _ in range(PROVIDER_ADDRESS.burst):
            await process.door.providers.begin("github", Return(), Wishes(), None)
        with pytest.raises(TooOften):
            await process.door.providers.begin("github", Return(), Wishes(), None)


async def test_t16_who_comes_in_rightly_is_never_held_up(process: Process, browser: Browser) -> None:
    with coming_from("192.0.2.1"):
        for _ in range(LINK_ADDRESS.burst + 1):
            await browser.signs_in("github")
        for _ in range(LINK_ADDRESS.burst):
            await browser.comes({"state": "made up"})
        page, values = await browser.comes(await browser.goes("github"))
        assert (page, values["error_code"]) == (f"{URL}/", "over_request_rate_limit")
        assert values["error"] == "temporarily_unavailable"


# ---- case T11: trips that are not what they seem --------------------------------------------------------------------


@both
async def test_t11_a_state_is_good_once_in_its_own_browser_and_for_ten_minutes(
    process: Process, browser: Browser, provider: str
) -> None:
    there, home = browser.there, f"{URL}/"

    async def is_lost(who: Browser, brought: Mapping[str, str], code: str = "bad_oauth_state") -> None:
        page, values = await who.comes(brought)
        assert (page, values["error"], values["error_code"]) == (home, "invalid_request", code)

    await is_lost(browser, {"code": "x"}, "bad_oauth_callback")
    await is_lost(browser, {"code": "x", "state": "made up"})
    for other in (Browser(process, there), Browser(process, there, "x" * 43), Browser(process, there, "ü")):
        brought = await browser.goes(provider)
        await is_lost(other, brought)
        await is_lost(browser, brought)  # nor for its own browser any more
    brought = await browser.goes(provider)
    assert set((await browser.comes(brought))[1]) == {"code"}
    await is_lost(browser, brought)
    brought = await browser.goes(provider)
    process.clock.go_on(600)
    await is_lost(browser, brought)
    assert await count(process, "sessions") == 0


async def test_t11_a_code_of_another_trip_is_refused(process: Process, browser: Browser) -> None:
    victim = Browser(process, browser.there)
    for provider in ("github", "google"):
        stolen = await victim.goes(provider)
        for mine in ("github", "google"):
            begun = await browser.goes(mine)
            _, values = await browser.comes({**begun, "code": stolen["code"]})
            assert values["error_code"] == "unexpected_failure", "PKCE: the verifier is of another browser"
    assert await count(process, "identities") == 0


async def test_t11_the_code_of_a_trip_is_good_once_and_for_whoever_began_it(process: Process, browser: Browser) -> None:
    _, values = await browser.comes(await browser.goes("github"))
    sign_in = process.door.sign_in
    for wrong in ("w" * 43, "", CHALLENGE):
        with pytest.raises(BadVerifier):
            await sign_in.with_code(values["code"], wrong)
    signed_in = await sign_in.with_code(values["code"], VERIFIER)
    with pytest.raises(FlowNotFound):
        await sign_in.with_code(values["code"], VERIFIER)
    assert not await process.is_good(signed_in.access_token), "somebody has a copy of the code"


@pytest.mark.parametrize(
    "page",
    [None, "https://evil.test/", "//evil.test", "/\\evil.test", "https://app.test@evil.test/", "javascript:alert(1)"],
)
async def test_t11_nobody_is_led_to_a_page_of_somebody_else(browser: Browser, page: str | None) -> None:
    landed, values = await browser.comes(await browser.goes("github", page=page))
    assert (landed, set(values)) == (f"{URL}/", {"code"})
    browser.there.refusal = "access_denied"
    landed, values = await browser.comes(await browser.goes("github", page=page))
    assert (landed, values["error"]) == (f"{URL}/", "access_denied")


@both
@pytest.mark.parametrize(
    ("refusal", "error"),
    [("access_denied", "access_denied"), ("<script>", "server_error"), ("x" * 900, "server_error")],
)
async def test_who_says_no_at_the_provider_comes_back_with_that(
    browser: Browser, provider: str, refusal: str, error: str
) -> None:
    browser.there.refusal = refusal
    values = await browser.is_refused(provider, "bad_oauth_callback")
    assert values["error"] == error and "<" not in values["error_description"]


async def test_t11_a_browser_that_another_issuer_has_sent_is_refused(browser: Browser) -> None:
    brought = {**await browser.goes("google"), "iss": "https://evil.test"}
    assert (await browser.comes(brought))[1]["error_code"] == "unexpected_failure"
    assert ("POST", "/token") not in browser.there.asked, "the code goes nowhere"


@given(st.text(), st.text(), st.text())
def test_t11_what_is_proved_to_a_provider_is_of_one_trip_and_one_browser(one: str, two: str, kept: str) -> None:
    trip = Trip(one, "", kept.encode("utf-8", "replace").decode())
    assert len(trip.verifier) == len(trip.nonce) == len(trip.challenge) == 43
    assert len({trip.verifier, trip.nonce, trip.challenge}) == 3
    if one != two:
        assert trip.verifier != Trip(two, "", trip.browser).verifier
    assert trip.verifier != Trip(one, "", trip.browser + "x").verifier
