"""What ``/auth/v1`` answers, beside what its clients make of it (cases T4, T6, T8, T17)."""

from typing import Any

import pytest

from tests.web.conftest import TOKEN, Client, MakeSomeone
from treadle.base.ids import OPERATOR


async def asked(client: Client, method: str, path: str, *, version: str = "", **options: Any) -> tuple[int, Any]:
    """The status and the body of an answer, asked for without a token."""
    headers = {"Authorization": "", **({"X-Supabase-Api-Version": version} if version else {})}
    answer = await client.http.request(
        method, f"/auth/v1/{path}", headers={**headers, **options.pop("more", {})}, **options
    )
    return answer.status_code, answer.json() if answer.content else None


async def test_failures_have_the_form_of_the_version_that_is_asked_for(client: Client) -> None:
    wrong = {"email": "ann@people.test", "password": "wrong, of course"}
    told = "Invalid login credentials"
    old = {"code": 400, "error_code": "invalid_credentials", "msg": told}
    new = {"code": "invalid_credentials", "message": told}
    for version, body in (("", old), ("2023-12-31", old), ("nonsense", old), ("2024-01-01", new), ("2025-06-01", new)):
        assert await asked(client, "POST", "token?grant_type=password", version=version, json=wrong) == (400, body)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("token", {}, 422, "validation_failed"),
        ("token?grant_type=password", {"email": "a@b.test"}, 422, "validation_failed"),
        ("token?grant_type=password", {"email": 7, "password": []}, 422, "validation_failed"),
        ("token?grant_type=magic", {}, 400, "validation_failed"),
        ("token?grant_type=refresh_token", {}, 422, "validation_failed"),
        ("token?grant_type=refresh_token", {"refresh_token": "x"}, 400, "refresh_token_not_found"),
        ("token?grant_type=pkce", {"auth_code": "x", "code_verifier": "y"}, 404, "flow_state_not_found"),
        ("signup", {}, 422, "anonymous_provider_disabled"),
        ("signup", {"email": "a@b.test"}, 422, "validation_failed"),
        ("signup", {"email": "a@b.test", "password": "long enough"}, 422, "signup_disabled"),
        ("signup", {"email": "a@b.test", "password": "x" * 9, "code_challenge": "short"}, 422, "validation_failed"),
        ("recover", {"email": "none"}, 422, "email_address_invalid"),
        ("recover", {}, 422, "validation_failed"),
        ("verify", {"type": "recovery", "token_hash": "x"}, 403, "otp_expired"),
        ("verify", {"type": "recovery"}, 422, "validation_failed"),
        ("verify", {"type": "magic", "token_hash": "x"}, 422, "validation_failed"),
        ("logout", None, 401, "no_authorization"),
    ],
)
async def test_what_is_wrong_is_told_with_a_code(client: Client, path: str, body: Any, status: int, code: str) -> None:
    found, said = await asked(client, "POST", path, json=body)
    assert (found, said["code"], said["error_code"]) == (status, status, code)
    assert said["msg"]


async def test_what_the_clients_send_beside_it_reaches_no_account(client: Client, someone: MakeSomeone) -> None:
    """Case A5: the bodies of others' clients are let through, and nothing but the known fields is read."""
    who = await someone()
    more = {
        "admin": True,
        "role": "service_role",
        "email_proven": True,
        "app_metadata": {"admin": True},
        "id": str(OPERATOR),
    }
    answer = await who.client.http.put("/auth/v1/user", json={"data": {"name": "Ann"}, **more})
    assert (answer.status_code, answer.json()["user_metadata"]) == (200, {"name": "Ann"})
    assert answer.json()["id"] == str(who.id) and answer.json()["role"] == "authenticated"
    assert answer.json()["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert (await who.client.get("/api/v2/me"))["admin"] is False


async def test_t6_a_token_whose_session_has_ended_is_told_from_one_that_never_was(
    client: Client, someone: MakeSomeone
) -> None:
    who = await someone()
    assert (await who.client.http.post("/auth/v1/logout")).status_code == 204
    for method, path in (("GET", "user"), ("PUT", "user"), ("POST", "logout")):
        answer = await who.client.http.request(method, f"/auth/v1/{path}", json={} if method != "GET" else None)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "session_not_found")
    assert (await who.client.http.get("/api/v2/me")).status_code == 401
    for token, status, code in (("x", 403, "bad_jwt"), ("", 401, "no_authorization")):
        found, said = await asked(client, "GET", "user", more={"Authorization": f"Bearer {token}"})
        assert (found, said["error_code"]) == (status, code)


async def test_whoever_holds_the_machine_is_somebody_without_an_address(client: Client) -> None:
    user = (await client.http.get("/auth/v1/user")).json()
    assert (user["id"], user["email"], user["identities"]) == (str(OPERATOR), "", [])
    for change in ({"password": "a new one, long"}, {"email": "a@b.test"}):
        answer = await client.http.put("/auth/v1/user", json=change)
        assert (answer.status_code, answer.json()["error_code"]) == (422, "validation_failed")
    assert (await client.http.post("/auth/v1/logout")).json()["error_code"] == "session_not_found"
    assert TOKEN not in str(user)


async def test_settings_health_and_keys_need_no_token(client: Client, someone: MakeSomeone) -> None:
    await someone()
    _, settings = await asked(client, "GET", "settings")
    assert settings["external"]["email"] is True and settings["disable_signup"] is True
    assert settings["mailer_autoconfirm"] is True
    assert (await asked(client, "GET", "health"))[0] == 200
    _, found = await asked(client, "GET", ".well-known/jwks.json")
    assert found["keys"] and all(
        {each["kty"], each["alg"], each["crv"], each["use"]} == {"EC", "ES256", "P-256", "sig"} and "d" not in each
        for each in found["keys"]
    )


async def test_a_bad_link_leads_home_and_says_why(client: Client) -> None:
    path = "/auth/v1/verify?token=x&type=recovery&redirect_to=https://evil.test/"
    answer = await client.http.get(path, headers={"Authorization": ""})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("http://localhost:8006/#error=access_denied&error_code=otp_expired")


@pytest.mark.parametrize("path", ["/auth/v1/token?grant_type=password", "/auth/v1/signup", "/api/v2/setup"])
async def test_t8_another_page_cannot_send_a_form_here(client: Client, path: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = {"Content-Type": kind, "Authorization": ""}
        answer = await client.http.post(path, content=b'{"email": "a@b.test", "password": "x"}', headers=headers)
        assert answer.status_code == 415
    headers = {"Origin": "https://evil.test", "Authorization": ""}
    assert (await client.http.post(path, json={}, headers=headers)).status_code == 403


@pytest.mark.parametrize("path", ["/auth/v1/token?grant_type=password", "/api/v2/setup"])
async def test_bodies_are_small(client: Client, path: str) -> None:
    answer = await client.http.post(path, json={"password": "x" * 70_000}, headers={"Authorization": ""})
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/", "/setup", "/reset-password", "/invitation"])
async def test_t17_the_pages_load_nothing_from_elsewhere_and_are_framed_nowhere(client: Client, path: str) -> None:
    answer = await client.http.get(path, headers={"Authorization": ""})
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY" and answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers
    assert "//" not in answer.text.replace("<!doctype", "")
    for name, kind in (("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")):
        assert f"/setup/{name}" in answer.text
        asset = await client.http.get(f"/setup/{name}", headers={"Authorization": ""})
        assert (asset.status_code, asset.headers["content-type"].split(";")[0]) == (200, kind)
    for name in ("setup.html", "..%2froutes.py", "x"):
        assert (await client.http.get(f"/setup/{name}")).status_code == 404
