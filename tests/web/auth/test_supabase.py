"""Tokens of a Supabase project on a running server: over HTTP and over sockets (cases T1, T9)."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.main.servers import Server, new_home, started
from tests.supabase_project import DOWN, EC, SECRET, Project, supabase_project_server
from treadle.web.live.socket import BEARER, PROTOCOL

every = pytest.mark.parametrize("algorithm", ["HS256", "ES256", "RS256"])


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with supabase_project_server() as found:
        yield found


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    with new_home() as home, started(home, settings=_settings(project, TREADLE_SIGNUP="open")) as found:
        yield found


def _settings(project: Project, **more: str) -> dict[str, str]:
    place = urlsplit(project.url).netloc
    return {"SUPABASE_URL": project.url, "SUPABASE_JWT_SECRET": SECRET, "TREADLE_EGRESS_ALLOW": place, **more}


def get(server: Server, path: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{server.url}{path}", headers=headers, trust_env=False, timeout=30)


def closed(server: Server, token: str) -> int:
    """The code with which a socket is closed that is opened with the token; 0 when it is let in."""
    address = f"ws://127.0.0.1:{server.port}/ws"
    protocols = [Subprotocol(PROTOCOL), Subprotocol(f"{BEARER}{token}")]
    with connect(address, subprotocols=protocols, proxy=None) as socket:
        try:
            assert json.loads(socket.recv(30))["type"] == "ready"
        except ConnectionClosed:
            return socket.close_code or 0
    return 0


@every
def test_somebody_of_the_project_is_somebody_here(server: Server, project: Project, algorithm: str) -> None:
    claims = project.claims()
    token = project.token(algorithm, **claims)
    me = get(server, "/api/v2/me", token).json()
    assert (me["name"], me["admin"]) == ("Ann Example", False)
    user = get(server, "/auth/v1/user", token).json()
    assert (user["id"], user["email"]) == (me["id"], claims["email"])
    assert [(each["provider"], each["id"]) for each in user["identities"]] == [(project.issuer, claims["sub"])]
    body = {"password": "a horse, correct"}
    headers = {"Authorization": f"Bearer {token}"}
    changed = httpx.put(f"{server.url}/auth/v1/user", json=body, headers=headers, trust_env=False)
    assert (changed.status_code, changed.json()["error_code"]) == (422, "validation_failed"), "it is kept elsewhere"
    ended = httpx.post(f"{server.url}/auth/v1/logout", headers=headers, trust_env=False)
    assert (ended.status_code, ended.json()["error_code"]) == (403, "session_not_found"), "it ends at the project"
    assert closed(server, token) == 0


@pytest.mark.parametrize("change", [{"exp": 1_000_000_000}, {"aud": "anon"}, {"iss": "https://x.supabase.co/auth/v1"}])
@every
def test_t1_what_is_not_exactly_right_opens_nothing(
    server: Server, project: Project, algorithm: str, change: dict[str, object]
) -> None:
    token = project.token(algorithm, **change)
    assert get(server, "/api/v2/me", token).status_code == 401
    assert get(server, "/auth/v1/user", token).json()["error_code"] == "bad_jwt"
    assert closed(server, token) == 4401


def test_who_is_not_invited_is_told_so(project: Project) -> None:
    with new_home() as home, started(home, settings=_settings(project)) as server:
        token = project.token()
        for path in ("/api/v2/me", "/auth/v1/user"):
            answer = get(server, path, token)
            assert (answer.status_code, answer.json()["error"]["details"]["reason"]) == (403, "signup_disabled")
        assert closed(server, token) == 4401


def test_that_a_token_cannot_be_checked_is_told(project: Project) -> None:
    project.instead = DOWN
    try:
        with new_home() as home, started(home, settings=_settings(project, TREADLE_SIGNUP="open")) as server:
            token = jwt.encode(project.claims(), EC, "ES256", {"kid": "ec"})
            for path in ("/api/v2/me", "/auth/v1/user"):
                answer = get(server, path, token)
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNAVAILABLE")
                assert "keys" in answer.json()["error"]["message"]
            assert closed(server, token) == 1013
            assert get(server, "/api/v2/me", project.token("HS256")).status_code == 200, "others are served"
    finally:
        project.instead = None
