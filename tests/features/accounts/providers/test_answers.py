"""Whatever GitHub and Google answer, nobody comes in by it who should not (cases S5, S9, S14, T2, T11)."""

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.company import CLIENT_ID, CLIENT_SECRET, Company, Reply, served
from tests.features.accounts.conftest import URL, Process
from tests.features.accounts.providers.trips import PAGE, SECRET, Browser, count
from tests.integrations.descriptions import problems
from tests.integrations.replay import Seen
from treadle.features.accounts.providers.github import GitHub
from treadle.features.accounts.providers.google import Google
from treadle.features.accounts.providers.provider import Trip, Wishes


def answered(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return status, headers or {}, value if isinstance(value, bytes) else json.dumps(value).encode()


NONSENSE = {
    "a page": answered(b"<html>Sorry</html>"),
    "nothing": answered(b""),
    "a list": answered([]),
    "a number": answered(7),
    "deep": answered(b"[" * 5_000),
    "other types": answered({"access_token": 7, "id_token": {}, "id": "7", "keys": 7, "issuer": []}),
    "texts that cannot be stored": answered({"access_token": "\0", "id_token": "\ud800", "id": True, "issuer": "\0"}),
    "a header in the token": answered({"access_token": "x\r\nX-Evil: 1", "id_token": "x"}),
    "a failure": answered({"message": "down"}, 500),
    "too many": answered({"message": "slow down"}, 429),
    "too much": answered({"access_token": "x" * 300_000}),
    "a bomb": answered(gzip.compress(b"[" + b" " * 50_000_000 + b"]"), headers={"Content-Encoding": "gzip"}),
}
GITHUB_PATHS = ("/login/oauth/access_token", "/api/v3/user")
GOOGLE_PATHS = ("/.well-known/openid-configuration", "/token", "/oauth2/v3/certs")


@pytest.mark.parametrize("path", [*GITHUB_PATHS, *GOOGLE_PATHS])
@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_s14_whatever_a_provider_answers_nobody_comes_in_by_it(
    process: Process, browser: Browser, path: str, nonsense: str
) -> None:
    provider = "github" if path in GITHUB_PATHS else "google"
    brought = await browser.goes(provider)
    if "configuration" in path:
        google = process.door.providers._providers["google"]
        assert isinstance(google, Google)
        google._places.forget_all()
    browser.there.answers[path] = NONSENSE[nonsense]
    page, values = await browser.comes(brought)
    assert (page, values["error"]) == (PAGE, "temporarily_unavailable"), values
    assert await count(process, "identities") == 0


@pytest.mark.parametrize("nonsense", [each for each in NONSENSE if each not in ("a failure", "too many")])
async def test_an_address_that_github_does_not_tell_is_none(browser: Browser, nonsense: str) -> None:
    browser.there.answers["/api/v3/user/emails"] = NONSENSE[nonsense]
    _, values = await browser.comes(await browser.goes("github"))
    assert values["error_code"] in ("provider_email_needs_verification", "unexpected_failure")


async def test_s5_no_redirect_carries_the_clients_secret_elsewhere(process: Process, browser: Browser) -> None:
    taken: list[bytes] = []

    def take(method: str, target: str, headers: dict[str, str], body: bytes) -> Any:
        taken.append(body + str(headers).encode())
        return answered({"access_token": "x", "id_token": "x"})

    with served(take) as thief:
        host, _, port = urlsplit(thief).netloc.partition(":")
        for provider, path in (("github", "/login/oauth/access_token"), ("google", "/token")):
            client: Any = process.door.providers._providers[provider]
            client._http._allow |= {(host, int(port))}
            browser.there.answers[path] = answered(b"", 307, {"Location": f"{thief}/x"})
            await browser.is_refused(provider, "unexpected_failure")
        token = answered(b"", 307, {"Location": f"{thief}/x"})
        browser.there.answers = {"/api/v3/user": token}
        await browser.is_refused("github", "unexpected_failure")
    assert not [each for each in taken if CLIENT_SECRET.encode() in each or b"gho_" in each]


async def test_s9_a_provider_inside_is_not_reached_unless_the_operator_says_so(
    process: Process, browser: Browser
) -> None:
    brought = [await browser.goes(name) for name in ("github", "google")]
    client: Any = process.door.providers._providers["github"]
    client._http._allow = frozenset()
    client._http._pool.close()
    for each in brought:
        assert (await browser.comes(each))[1]["error"] == "temporarily_unavailable"


# ---- tokens of Google -----------------------------------------------------------------------------------------------


def unsigned(there: Company, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", algorithm="none", headers={"kid": there.kid})


def with_another_key(there: Company, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, rsa.generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": there.kid})


def with_a_key_of_its_own(there: Company, claims: dict[str, Any]) -> str:
    mine = rsa.generate_private_key(65537, 2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(mine.public_key(), as_dict=True)
    return jwt.encode(claims, mine, algorithm="RS256", headers={"kid": there.kid, "jwk": public})


def with_the_public_key(there: Company, claims: dict[str, Any]) -> str:
    spki, der = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.DER
    secret = there.key.public_key().public_bytes(der, spki)
    return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": there.kid})


def with_the_clients_secret(there: Company, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, CLIENT_SECRET, algorithm="HS256", headers={"kid": there.kid})


def with_an_unknown_key(there: Company, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, there.key, algorithm="RS256", headers={"kid": "another"})


def without_a_key(there: Company, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, there.key, algorithm="RS256")


def with_another_algorithm(there: Company, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, there.key, algorithm="PS256", headers={"kid": there.kid})


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        with_another_key,
        with_a_key_of_its_own,
        with_the_public_key,
        with_the_clients_secret,
        with_an_unknown_key,
        without_a_key,
        with_another_algorithm,
    ],
)
async def test_t11_a_token_that_google_has_not_signed_lets_nobody_in(
    process: Process, browser: Browser, sign: Callable[[Company, dict[str, Any]], str]
) -> None:
    browser.there.sign = sign
    await browser.is_refused("google", "unexpected_failure")
    assert await count(process, "identities") == 0


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-client"},
        {"aud": [CLIENT_ID, "another"]},
        {"aud": None},
        {"azp": "another-client"},
        {"iss": "https://evil.test"},
        {"iss": None},
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": 7},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"iat": 4_000_000_000},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"sub": "x\0"},
    ],
    ids=str,
)
async def test_t11_a_token_for_something_else_lets_nobody_in(
    process: Process, browser: Browser, claims: dict[str, Any]
) -> None:
    browser.there.claims = claims
    await browser.is_refused("google", "unexpected_failure")
    assert await count(process, "identities") == 0


@pytest.mark.parametrize("verified", [False, None, "true", 1])
async def test_t2_only_true_is_a_verified_address(browser: Browser, verified: Any) -> None:
    browser.there.claims = {"email_verified": verified}
    await browser.is_refused("google", "provider_email_needs_verification")


async def test_a_new_key_of_google_is_fetched_when_it_is_first_seen(process: Process, browser: Browser) -> None:
    await browser.signs_in("google")
    await browser.signs_in("google")
    fetched = ("GET", "/oauth2/v3/certs")
    assert browser.there.asked.count(fetched) == 1
    browser.there.key, browser.there.kid = rsa.generate_private_key(65537, 2048), "key-2"
    process.clock.go_on(20)
    browser.there.claims = {"iat": int(time.time()) + 20}
    await browser.signs_in("google")
    assert browser.there.asked.count(fetched) == 2


# ---- the usual places -----------------------------------------------------------------------------------------------


async def test_without_another_address_github_is_github(shared: Path) -> None:
    asked: list[Seen] = []

    class Answers:
        """The egress client's double: what would be asked of GitHub itself."""

        async def request(self, method: str, url: str, **options: Any) -> Any:
            asked.append(Seen(method, url, options["headers"], None))
            answers = {"/login/oauth/access_token": {"access_token": "gho_x"}, "/user": {"id": 7, "login": "ann"}}
            value = answers.get(urlsplit(url).path, [])

            class Answer:
                status = 200

                @staticmethod
                def json() -> Any:
                    return value

            return Answer()

    http: Any = Answers()
    github = GitHub(http, "https://github.com", CLIENT_ID, SECRET)
    trip = Trip("s", f"{URL}/auth/v1/callback", "b")
    assert (await github.departure(trip, Wishes())).startswith("https://github.com/login/oauth/authorize?client_id=")
    vouched = await github.arrival(trip, "code", None)
    assert (github.issuer, vouched.subject, vouched.email, vouched.profile["name"]) == ("github", "7", None, "ann")
    assert [each.url.partition("?")[0] for each in asked] == [
        "https://github.com/login/oauth/access_token",
        "https://api.github.com/user",
        "https://api.github.com/user/emails",
    ]
    for each in asked[1:]:
        assert problems(shared, "github", each) == []
