"""Credentials over HTTP: they go in, are used, and their secrets never come out (A5, K1)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.main.installs import agent
from tests.web.conftest import Client
from treadle.base.ids import uuid7

CANARY = "canary-http-19d4"
BASE = "/api/v2/integrations"
GRAPHS = "/api/v2/builder/graphs"
ADD_LABEL = "98bd6b77-9506-43d5-b669-6b9733c4b1f1"
KEY = {"type": "api_key", "title": " My key ", "secret": CANARY}
LOGIN = {"type": "user_password", "title": "Proxy", "username": "me", "secret": CANARY}
HEADERS = {"type": "host_scoped", "title": "Mine", "host": "api.example.com", "headers": {"X-Key": CANARY}}


async def test_providers_say_what_they_take(client: Client) -> None:
    found = {each["name"]: each for each in (await client.get(f"{BASE}/providers"))["providers"]}
    github = found["github"]
    assert github["title"] == "GitHub" and github["hosts"] == ["api.github.com"]
    assert {"type": "api_key", "obtain": "https://github.com/settings/tokens"} in github["kinds"]
    assert found["http"]["kinds"] == [{"type": "host_scoped", "obtain": ""}]
    assert {"openai", "anthropic", "jina", "webshare_proxy"} <= set(found)


@pytest.mark.parametrize(("provider", "body"), [("openai", KEY), ("webshare_proxy", LOGIN), ("http", HEADERS)])
async def test_they_are_stored_listed_changed_and_deleted(client: Client, provider: str, body: dict[str, Any]) -> None:
    told = [await client.post(f"{BASE}/{provider}/credentials", body, status=201)]
    id = told[0]["id"]
    assert (told[0]["title"], told[0]["type"], told[0]["provider"]) == (body["title"].strip(), body["type"], provider)
    assert told[0]["username"] == body.get("username", "") and told[0]["hosts"]
    told.append(await client.get(f"{BASE}/credentials?provider={provider}"))
    assert [each["id"] for each in told[-1]["credentials"]][:1] == [id]
    secret = {"headers": {"X-Key": f"{CANARY}-2"}} if "headers" in body else {"secret": f"{CANARY}-2"}
    change = {"title": "Renamed", "expires_at": "2040-01-01T00:00:00Z", **secret}
    answer = await client.http.patch(f"{BASE}/credentials/{id}", json=change)
    assert answer.status_code == 200, answer.text
    told.append(await client.get(f"{BASE}/credentials/{id}"))
    assert told[-1] == answer.json() and told[-1]["title"] == "Renamed"
    assert told[-1]["expires_at"].startswith("2040-01-01") and told[-1]["username"] == body.get("username", "")
    assert (await client.http.delete(f"{BASE}/credentials/{id}")).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await client.http.request(method, f"{BASE}/credentials/{id}")).status_code == 404
    assert CANARY not in json.dumps(told)


@pytest.mark.parametrize("field", ["id", "workspace_id", "user_id", "created_by", "key_id", "ciphertext", "hosts"])
async def test_what_is_not_the_callers_to_say_is_refused(client: Client, field: str) -> None:
    answer = await client.http.post(f"{BASE}/openai/credentials", json={**KEY, field: "x"})
    assert answer.status_code == 422 and CANARY not in answer.text
    id = (await client.post(f"{BASE}/openai/credentials", KEY, status=201))["id"]
    for name in (field, "provider", "type", "host"):
        changed = await client.http.patch(f"{BASE}/credentials/{id}", json={name: "x"})
        assert changed.status_code == 422
    await client.http.delete(f"{BASE}/credentials/{id}")


@pytest.mark.parametrize(
    ("provider", "change", "status"),
    [
        ("nobody", {}, 404),
        ("openai", {"title": " "}, 422),
        ("openai", {"type": "oauth2"}, 422),
        ("openai", {"secret": ""}, 422),
        ("openai", {"secret": f"{CANARY}\r\nX-Evil: 1"}, 422),
        ("openai", {"secret": [CANARY]}, 422),
        ("openai", {"expires_at": "2040-01-01T00:00:00"}, 422),
        ("openai", {"host": "evil.example"}, 422),
    ],
)
async def test_what_cannot_be_used_is_refused_without_quoting_it(
    client: Client, provider: str, change: dict[str, Any], status: int
) -> None:
    answer = await client.http.post(f"{BASE}/{provider}/credentials", json={**KEY, **change})
    assert answer.status_code == status and CANARY not in answer.text
    assert answer.json()["error"]["details"]["fix"]


async def test_the_installs_own_are_lent_and_told_apart(client: Client, install: Path) -> None:
    file = install / "credentials.json"
    entry = {"id": "lent", "provider": "jina", "type": "api_key", "secret": CANARY}
    file.touch(mode=0o600)
    file.write_text(json.dumps({"credentials": [entry]}))
    try:
        listed = await client.get(f"{BASE}/credentials")
        assert {"id": "lent", "provider": "jina", "type": "api_key"} in listed["provided"]
        found = {each["name"]: each["provided"] for each in (await client.get(f"{BASE}/providers"))["providers"]}
        assert found["jina"] and not found["medium"] and CANARY not in json.dumps(listed)
    finally:
        file.unlink()


async def test_sent_again_with_its_key_a_request_stores_nothing_twice(client: Client) -> None:
    headers = {"Idempotency-Key": "store-once-5a1"}
    first = await client.post(f"{BASE}/groq/credentials", KEY, status=201, headers=headers)
    again = await client.post(f"{BASE}/groq/credentials", KEY, status=201, headers=headers)
    assert again == first
    assert len((await client.get(f"{BASE}/credentials?provider=groq"))["credentials"]) == 1
    other = await client.http.post(f"{BASE}/groq/credentials", json={**KEY, "title": "Other"}, headers=headers)
    assert other.status_code == 422


def labelling(name: str, id: str) -> dict[str, Any]:
    chosen = {"id": id, "provider": "github", "type": "api_key"}
    constants = {"issue_url": "https://github.com/o/r/issues/1", "label": "x", "credentials": chosen}
    return agent({"label": (ADD_LABEL, constants)}, name=name)


async def test_used_ones_are_deleted_by_force_alone_and_the_agents_are_told(client: Client) -> None:
    id = (await client.post(f"{BASE}/github/credentials", KEY, status=201))["id"]
    graph = await client.post(GRAPHS, labelling("Labels", id), status=201)
    await client.post(GRAPHS, labelling("Others", str(uuid7())), status=201)
    refused = await client.http.delete(f"{BASE}/credentials/{id}")
    error = refused.json()["error"]
    assert (refused.status_code, error["details"]["reason"]) == (409, "credentials_in_use")
    assert [each["graph"] for each in error["details"]["problems"]] == [graph["id"]] and "Labels" in error["message"]
    assert (await client.http.delete(f"{BASE}/credentials/{id}?force=true")).status_code == 204


async def test_an_agent_shows_which_it_names_and_which_of_them_are_not_here(client: Client) -> None:
    id = (await client.post(f"{BASE}/github/credentials", KEY, status=201))["id"]
    told = {}
    for chosen in (id, str(uuid7())):
        graph = await client.post(GRAPHS, labelling("Names one", chosen), status=201)
        assert graph["document"]["nodes"][0]["input_default"]["credentials"]["id"] == chosen
        told[chosen] = [each for each in graph["problems"] if each["code"] == "unknown_credentials"]
    assert told.pop(id) == []
    [[problem]] = told.values()
    assert (problem["node"], problem["pin"], problem["severity"]) == ("label", "credentials", "warning")
    exported = await client.http.get(f"{GRAPHS}/{graph['id']}/export")
    assert chosen not in exported.text
    await client.http.delete(f"{BASE}/credentials/{id}?force=true")
