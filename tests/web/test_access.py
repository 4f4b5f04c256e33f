"""Who gets in: tokens, hosts, origins, sizes, types; and what every answer carries."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.routing import BaseRoute

from tests.web.conftest import TOKEN, Client

PUBLIC = {"/ws", "/health", "/health/ready", "/metrics", "/openapi.json", "/docs", "/docs/start.js", "/docs/{name}"} | {
    "/api/v2/share/{token}",
    "/api/v2/share/{token}/values/{digest}",
    # Where people get a token, or ask for themselves whose it is.
    "/auth/v1/signup",
    "/auth/v1/token",
    "/auth/v1/user",
    "/auth/v1/logout",
    "/auth/v1/recover",
    "/auth/v1/otp",
    "/auth/v1/resend",
    "/auth/v1/verify",
    "/auth/v1/settings",
    "/auth/v1/health",
    "/auth/v1/.well-known/jwks.json",
    # Browsers open them on the way to a provider and back.
    "/auth/v1/authorize",
    "/auth/v1/callback",
    "/auth/v1/user/identities/authorize",
    "/auth/v1/user/identities/{identity_id}",
    "/api/v2/setup",
    "/",
    "/setup",
    "/setup/{name}",
    "/reset-password",
    # Whoever is invited holds a link, and nothing else yet.
    "/invitation",
    "/api/v2/invitations/lookup",
}
"""The routes that need no token. A new one does not belong here without a reason."""
_ID = "01234567-89ab-7def-8123-456789abcdef"


def _routes(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, methods in document["paths"].items():
        for method in methods:
            filled = path.replace("{execution_id}", _ID).replace("{graph_id}", "g").replace("{firing}", "1")
            yield method.upper(), filled


async def test_every_route_but_the_public_ones_needs_the_token(client: Client) -> None:
    document = await client.get("/openapi.json")
    tried = [(method, path) for method, path in _routes(document) if path not in PUBLIC]
    assert len(tried) >= 12
    for method, path in tried:
        for authorization in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ünrecht"):
            headers = {b"Authorization": authorization.encode()}
            answer = await client.http.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path, authorization)
            assert answer.json()["error"]["code"] == "UNAUTHORIZED"


async def test_the_documented_routes_and_the_public_ones_are_all_there_is(client: Client) -> None:
    document = await client.get("/openapi.json")
    app: Any = client.app.app.app  # type: ignore[attr-defined]
    served = set(_paths(app.routes))
    assert served == {*document["paths"], *PUBLIC}


def _paths(routes: list[BaseRoute]) -> Iterator[str]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _paths(inner.routes)
        else:
            yield str(getattr(route, "path", route))


@pytest.mark.parametrize("path", ["/api/v2/executions/health", "/health/../api/v2/executions", "/api/v2/x/..;/health"])
async def test_no_trick_with_paths_gets_around_the_token(client: Client, path: str) -> None:
    answer = await client.http.get(path, headers={"Authorization": ""})
    assert answer.status_code in (401, 404, 422)
    assert "executions" not in answer.json()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8006", "[::1]:8006", "treadle.example", "10.1.2.3"]
)
async def test_known_names_and_plain_addresses_are_answered(client: Client, host: str) -> None:
    assert (await client.http.get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.test", "localhost.evil.test", "127.0.0.1.nip.test", "treadle.example.evil.test", "", "[", "a@evil.test"],
)
async def test_other_names_are_refused(client: Client, host: str) -> None:
    answer = await client.http.get("/health", headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]["details"]["reason"]) == (421, "wrong_host")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.test", "null", "https://treadle.example.evil.test", "https://localhost:8006", "http://localhost"],
)
async def test_foreign_pages_change_nothing(client: Client, origin: str) -> None:
    answer = await client.http.post("/api/v2/builder/graphs", json={}, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["error"]["details"]["reason"]) == (403, "wrong_origin")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://localhost:8006", "https://treadle.example"])
async def test_own_pages_are_let_through(client: Client, origin: str) -> None:
    answer = await client.http.post("/api/v2/builder/graphs", json={}, headers={"Origin": origin})
    assert answer.json()["error"]["details"]["reason"] == "bad_agent_file"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_only_json_is_taken(client: Client, kind: str) -> None:
    answer = await client.http.post("/api/v2/builder/graphs", content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == 415


async def test_a_body_that_is_too_large_is_refused_while_it_arrives(client: Client) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000_000
            yield b" " * 1_000_000

    headers = {"Content-Type": "application/json"}
    answer = await client.http.post("/api/v2/builder/graphs", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent <= 27_000_000
    declared = await client.http.post("/api/v2/builder/graphs", content=b"{}", headers={"Content-Length": "99999999"})
    assert declared.status_code == 413


async def test_deep_json_is_refused_on_every_route(client: Client) -> None:
    body = b'{"input_data": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    headers = {"Content-Type": "application/json"}
    answer = await client.http.post("/api/v2/builder/graphs/g/execute", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["details"]["reason"]) == (400, "too_deep")


@pytest.mark.parametrize("path", ["/health", "/docs", "/api/v2/executions", "/nowhere"])
async def test_every_answer_carries_the_security_headers(client: Client, path: str) -> None:
    headers = (await client.http.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]


async def test_the_documentation_needs_nothing_from_elsewhere(client: Client) -> None:
    page = (await client.http.get("/docs", headers={"Authorization": ""})).text
    assert "http" not in page.replace("HTTP interface", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        answer = await client.http.get(f"/docs/{name}")
        assert answer.status_code == 200
        assert len(answer.content) > 20
    for name in ("passwd", "..%2f__init__.py", "core.py"):
        assert (await client.http.get(f"/docs/{name}")).status_code == 404


async def test_an_inner_failure_tells_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret place /srv/treadle")

    monkeypatch.setattr(type(client.site.executions.lists), "encoded_page", broken)
    answer = await client.http.get("/api/v2/executions")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "INTERNAL_ERROR"
    assert "secret" not in answer.text


async def test_t7_only_named_origins_may_read_answers(client: Client) -> None:
    for origin in ("https://evil.test", "null", "https://treadle.example.evil.test", "http://treadle.example"):
        for method, headers in (("GET", {}), ("OPTIONS", {"Access-Control-Request-Method": "POST"})):
            answer = await client.http.request(method, "/api/v2/executions", headers={"Origin": origin, **headers})
            assert not [name for name in answer.headers if name == "access-control-allow-origin"], (method, origin)
    named = {"Origin": "https://treadle.example"}
    answer = await client.http.get("/api/v2/executions", headers=named)
    assert answer.headers["access-control-allow-origin"] == "https://treadle.example"
    assert "access-control-allow-credentials" not in answer.headers
    preflight = await client.http.options(
        "/api/v2/builder/graphs", headers={**named, "Access-Control-Request-Method": "POST", "Authorization": ""}
    )
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "https://treadle.example")
    assert "x-workspace-id" in preflight.headers["access-control-allow-headers"]
    assert all("Origin" in each.headers["vary"] for each in (answer, preflight))


async def test_only_answers_over_tls_ask_for_tls(client: Client) -> None:
    assert "strict-transport-security" not in (await client.http.get("/health")).headers
    answer = await client.http.get("https://localhost:8006/health")
    assert answer.headers["strict-transport-security"]
