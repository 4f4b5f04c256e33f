"""Signing in through GitHub and Google over HTTP, as the official clients and a browser do it (cases T11, T17)."""

import contextlib
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from tests.company import CLIENT_ID, CLIENT_SECRET, Company, Person, company
from tests.main.servers import Server, new_home, started, treadle
from tests.web.auth.clients import Caller, Devices, Refusal, devices_of
from tests.web.auth.test_setup import in_browser
from tests.web.conftest import Client
from treadle.base.clock import SystemClock
from treadle.features.accounts.providers.google import Google
from treadle.sdk.http import EgressClient

both = pytest.mark.parametrize("provider", ["github", "google"])
_CHALLENGE = "c" * 43


@pytest.fixture(scope="session")
def company_of_all() -> Iterator[Company]:
    with company() as found:
        yield found


@pytest.fixture
def there(company_of_all: Company) -> Iterator[Company]:
    """The company with somebody new in front of the browser; a request that it complains about fails the test."""
    found = company_of_all
    with company() as fresh:
        found.person = Person(fresh.person.number, fresh.person.email)
    found.refusal, found.answers, found.claims = "", {}, {}
    yield found
    assert found.complaints == []


@pytest.fixture(scope="session")
def server(company_of_all: Company) -> Iterator[Server]:
    """A server on which everybody may make an account, through the company too."""
    settings = {**company_of_all.settings, "TREADLE_SIGNUP": "open"}
    with new_home() as home, started(home, settings=settings) as found:
        company_of_all.callback = f"{found.url}/auth/v1/callback"
        yield found


@pytest.fixture(params=["python", "javascript"])
def devices(request: pytest.FixtureRequest, server: Server) -> Iterator[Devices]:
    yield from devices_of(request.param, server.url)


@contextlib.contextmanager
def browser() -> Iterator[httpx.Client]:
    """Keeps cookies and follows redirects."""
    with httpx.Client(follow_redirects=True, trust_env=False) as found:
        yield found


def landed(address: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Where a browser is that begins at an address: the page, its query, and what is behind the ``#``."""
    with browser() as used:
        parts = urlsplit(str(used.get(address).url))
    page = parts._replace(query="", fragment="").geturl()
    return page, dict(parse_qsl(parts.query)), dict(parse_qsl(parts.fragment))


def signed_in(device: Caller, server: Server, provider: str) -> Any:
    """The session of whoever sits in front of the browser."""
    page, query, fragment = landed(device.oauth(provider, f"{server.url}/welcome"))
    assert (page, set(query), fragment) == (f"{server.url}/welcome", {"code"}, {})
    return device.exchange(query["code"])


@both
def test_somebody_signs_in_with_the_official_clients(
    devices: Devices, server: Server, there: Company, provider: str
) -> None:
    device = devices("pkce")
    session = signed_in(device, server, provider)
    person, user = there.person, device.user()
    assert (session["token_type"], session["user"]["id"]) == ("bearer", user["id"])
    assert (user["email"], user["role"], user["aud"]) == (person.email, "authenticated", "authenticated")
    assert user["email_confirmed_at"] and user["last_sign_in_at"]
    assert user["app_metadata"] == {"provider": provider, "providers": [provider]}
    assert user["user_metadata"]["full_name"] == "Ann Example" and user["user_metadata"]["avatar_url"]
    (identity,) = user["identities"]
    assert (identity["provider"], identity["id"], identity["user_id"]) == (provider, str(person.number), user["id"])
    data = identity["identity_data"]
    assert (data["sub"], data["email"], data["email_verified"]) == (str(person.number), person.email, True)
    assert device.claims()["amr"][0]["method"] == "oauth"
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    me = httpx.get(f"{server.url}/api/v2/me", headers=headers, trust_env=False).json()
    assert (me["id"], me["name"], me["admin"]) == (user["id"], "Ann Example", False)
    assert device.refresh()["user"]["id"] == user["id"]
    assert signed_in(devices("pkce"), server, provider)["user"]["id"] == user["id"]


def test_one_person_at_both_is_one_person_here(devices: Devices, server: Server, there: Company) -> None:
    first = signed_in(devices("pkce"), server, "github")
    second = signed_in(devices("pkce"), server, "google")
    assert first["user"]["id"] == second["user"]["id"]
    assert second["user"]["app_metadata"] == {"provider": "github", "providers": ["github", "google"]}
    assert [each["provider"] for each in second["user"]["identities"]] == ["github", "google"]


def test_a_client_that_can_show_nothing_finds_its_session_behind_the_page(
    devices: Devices, server: Server, there: Company
) -> None:
    page, query, fragment = landed(devices("implicit").oauth("github", f"{server.url}/welcome"))
    assert (page, query) == (f"{server.url}/welcome", {})
    assert {"access_token", "refresh_token", "expires_in", "expires_at", "token_type"} == set(fragment)
    assert devices().user(fragment["access_token"])["email"] == there.person.email


def test_t11_a_code_is_for_the_device_that_has_asked_and_good_once(
    devices: Devices, server: Server, there: Company
) -> None:
    device, thief = devices("pkce"), devices("pkce")
    _, query, _ = landed(device.oauth("google", f"{server.url}/welcome"))
    thief.oauth("google", f"{server.url}/welcome")
    with pytest.raises(Refusal) as refused:
        thief.exchange(query["code"])
    assert (refused.value.status, refused.value.code) == (400, "bad_code_verifier")
    assert device.exchange(query["code"])["user"]["email"] == there.person.email
    with pytest.raises(Refusal):
        device.exchange(query["code"])


@both
def test_somebody_links_and_unlinks_an_identity(
    devices: Devices, server: Server, there: Company, provider: str
) -> None:
    email, password = f"linking-{there.person.email}", "a horse, correct"
    device = devices("pkce")
    made = device.sign_up(email, password)
    page, query, _ = landed(device.link(provider, f"{server.url}/settings"))
    assert (page, set(query)) == (f"{server.url}/settings", {"code"})
    session = device.exchange(query["code"])
    assert session["user"]["id"] == made["user"]["id"]
    assert session["user"]["app_metadata"] == {"provider": "email", "providers": ["email", provider]}
    again = devices("pkce")
    assert signed_in(again, server, provider)["user"]["id"] == made["user"]["id"]
    by_address, by_provider = again.user()["identities"]
    again.unlink(by_address)
    with pytest.raises(Refusal) as refused:
        again.unlink(by_provider)
    assert (refused.value.status, refused.value.code) == (422, "single_identity_not_deletable")
    with pytest.raises(Refusal) as refused:
        again.unlink(by_address)
    assert (refused.value.status, refused.value.code) == (404, "identity_not_found")
    with pytest.raises(Refusal) as refused:
        devices().sign_in(email, password)
    assert refused.value.code == "invalid_credentials"


def test_linking_needs_a_session_and_a_challenge(devices: Devices, server: Server, there: Company) -> None:
    device = devices("implicit")
    device.sign_up(f"implicit-{there.person.email}", "a horse, correct")
    with pytest.raises(Refusal) as refused:
        device.link("github", f"{server.url}/settings")
    assert (refused.value.status, refused.value.code) == (422, "validation_failed")
    for method, path in (("GET", "authorize?provider=github"), ("DELETE", "01234567-89ab-7def-8123-456789abcdef")):
        answer = httpx.request(method, f"{server.url}/auth/v1/user/identities/{path}", trust_env=False)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "no_authorization")


def test_who_says_no_comes_back_with_that(devices: Devices, server: Server, there: Company) -> None:
    there.refusal = "access_denied"
    page, query, fragment = landed(devices("pkce").oauth("github", f"{server.url}/welcome"))
    assert page == f"{server.url}/welcome" and query == fragment
    assert set(query) == {"error", "error_code", "error_description"} and query["error"] == "access_denied"


@pytest.mark.parametrize("page", ["https://evil.test/x", "//evil.test/x", ""])
def test_t11_nobody_is_led_elsewhere(devices: Devices, server: Server, there: Company, page: str) -> None:
    there.answers["/api/v3/user"] = (500, {}, b"")
    where, query, _ = landed(devices("pkce").oauth("github", page))
    assert (where, query["error"]) == (f"{server.url}/", "temporarily_unavailable")


def test_t11_what_binds_a_trip_to_its_browser(server: Server, there: Company) -> None:
    begin = f"{server.url}/auth/v1/authorize?provider=github&code_challenge={_CHALLENGE}&code_challenge_method=s256"
    away = httpx.get(begin, trust_env=False)
    assert away.status_code == 302 and away.headers["location"].startswith(f"{there.url}/login/oauth/authorize?")
    assert away.headers["cache-control"] == "no-store" and away.headers["referrer-policy"] == "no-referrer"
    (cookie,) = SimpleCookie(away.headers["set-cookie"]).values()
    assert cookie["httponly"] and cookie["samesite"] == "lax" and cookie["max-age"] == "600" and cookie["path"] == "/"
    assert cookie.value not in away.headers["location"]
    back = httpx.get(away.headers["location"], trust_env=False).headers["location"]
    home = f"{server.url}/?error=invalid_request&error_code=bad_oauth_state"
    assert httpx.get(back, trust_env=False).headers["location"].startswith(home), "another browser"
    with browser() as used:
        provider = used.get(begin, follow_redirects=False).headers["location"]
        back = httpx.get(provider, trust_env=False).headers["location"]
        first = used.get(back, follow_redirects=False).headers["location"]
        assert first.startswith(f"{server.url}/?code=")
        again = used.get(back, follow_redirects=False).headers["location"]
        assert again.startswith(home), "a second time"
    for path in ("", "?state=x", "?state=x&code=y", "?code=y"):
        lost = httpx.get(f"{server.url}/auth/v1/callback{path}", trust_env=False)
        assert lost.status_code == 302 and lost.headers["location"].startswith(f"{server.url}/?error=invalid_request")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("provider=gitlab", 400, "validation_failed"),
        ("provider=", 400, "validation_failed"),
        ("", 422, "validation_failed"),
        (f"provider=github&code_challenge={_CHALLENGE}&code_challenge_method=plain", 422, "validation_failed"),
        (f"provider=github&code_challenge={_CHALLENGE}", 422, "validation_failed"),
        ("provider=github&code_challenge=short&code_challenge_method=s256", 422, "validation_failed"),
        ("provider=github&scopes=%22", 422, "validation_failed"),
        ("provider=github&redirect_to=" + "x" * 3_000, 422, "validation_failed"),
    ],
)
def test_what_cannot_be_begun_is_told(server: Server, query: str, status: int, code: str) -> None:
    answer = httpx.get(f"{server.url}/auth/v1/authorize?{query}", trust_env=False)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert "set-cookie" not in answer.headers


def test_the_other_name_of_the_own_machine_leads_to_the_one_that_the_provider_knows(
    server: Server, there: Company
) -> None:
    query = f"provider=google&redirect_to=%2Fwelcome&code_challenge={_CHALLENGE}&code_challenge_method=s256"
    begin = f"http://localhost:{server.port}/auth/v1/authorize?{query}"
    assert httpx.get(begin, trust_env=False).headers["location"] == f"{server.url}/auth/v1/authorize?{query}"
    page, values, _ = landed(begin)
    assert (page, set(values)) == (f"{server.url}/welcome", {"code"})


@both
def test_who_is_invited_comes_in_through_a_provider(server: Server, there: Company, provider: str) -> None:
    workspace = server.call("POST", "/api/v2/workspaces", json={"name": "Shared"}).json()["id"]
    wanted = {"email": "whoever@else.test", "role": "runner"}
    link = server.call("POST", f"/api/v2/workspaces/{workspace}/invitations", json=wanted).json()["link"]
    offered = in_browser(link, password="short")["providers"]
    assert [dict(parse_qsl(urlsplit(each).query))["provider"] for each in offered] == ["github", "google"]
    with browser() as used:
        back = str(used.get(next(each for each in offered if f"provider={provider}" in each)).url)
    assert back.startswith(f"{server.url}/invitation#")
    said = in_browser(back)
    assert (said["told"], said["kind"]) == ("You can sign in like this from now on.", "good")
    assert said["address"] == f"{server.url}/invitation", "the session leaves the address"
    token = dict(parse_qsl(urlsplit(back).fragment))["access_token"]
    mine = httpx.get(f"{server.url}/api/v2/workspaces", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert [(each["name"], each["role"]) for each in mine.json()["workspaces"]][1:] == [("Shared", "runner")]
    refused = in_browser(f"{server.url}/invitation#error=access_denied&error_description=You+said+no")
    assert (refused["told"], refused["kind"]) == ("You said no.", "bad")


def test_settings_tell_which_providers_there_are(server: Server) -> None:
    external = httpx.get(f"{server.url}/auth/v1/settings", trust_env=False).json()["external"]
    assert external["github"] is True and external["google"] is True


async def test_without_settings_there_are_none(client: Client) -> None:
    external = (await client.get("/auth/v1/settings"))["external"]
    assert external["github"] is False and external["google"] is False
    for provider in ("github", "google"):
        answer = await client.http.get(f"/auth/v1/authorize?provider={provider}")
        told = "Unsupported provider: provider is not enabled"
        assert (answer.status_code, answer.json()["msg"]) == (400, told)


async def test_a_provider_that_cannot_be_asked_is_told_as_such(client: Client) -> None:
    async with EgressClient() as http:
        google = Google(http, "http://127.0.0.1:9", CLIENT_ID, SecretStr(CLIENT_SECRET), SystemClock())
        providers: Any = client.site.door.providers
        providers._providers["google"] = google
        answer = await client.http.get("/auth/v1/authorize?provider=google")
    told = {"code": 503, "error_code": "unexpected_failure", "msg": "127.0.0.1:9 could not be asked who you are."}
    assert (answer.status_code, answer.json()) == (503, told)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"SIGN_IN_GITHUB_CLIENT_ID": "x"}, "SIGN_IN_GITHUB_CLIENT_SECRET is not"),
        ({"SIGN_IN_GOOGLE_CLIENT_SECRET": "hidden-one"}, "SIGN_IN_GOOGLE_CLIENT_ID is not"),
        ({"SIGN_IN_GOOGLE_CLIENT_SECRET": "hidden one"}, "SIGN_IN_GOOGLE_CLIENT_SECRET"),
        ({"SUPABASE_JWT_SECRET": "hidden-one" * 4}, "SUPABASE_URL is not"),
        ({"SUPABASE_JWT_SECRET": "hidden-one"}, "at least 32 characters"),
        ({"SUPABASE_URL": "abc.supabase.co"}, "http:// or https://"),
        ({"SUPABASE_URL": "http://127.0.0.1:8006"}, "this installation itself"),
    ],
)
def test_settings_that_do_not_fit_stop_the_start_with_a_word(settings: dict[str, str], told: str) -> None:
    with new_home() as home:
        ended = treadle(home, "up", settings=settings)
        assert ended.returncode != 0 and told in ended.stderr, ended.stderr
        assert "hidden" not in ended.stderr.replace("(hidden)", "")


def test_no_secret_of_a_trip_is_in_the_log(server: Server, there: Company, devices: Devices) -> None:
    device = devices("pkce")
    with browser() as used:
        answer = used.get(device.oauth("google", f"{server.url}/welcome"))
        secrets = [*used.cookies.values(), *dict(parse_qsl(urlsplit(str(answer.url)).query)).values()]
        for each in answer.history:
            query = dict(parse_qsl(urlsplit(str(each.url)).query))
            secrets += [query[name] for name in ("state", "code", "nonce") if name in query]
    log = (server.home / "up.log").read_text()
    assert len(secrets) >= 5 and not [each for each in secrets if each in log]
