"""Keys of the external API: shown once, kept as hashes, good for what they say, and for nothing once revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.main.installs import GREETING
from tests.web.conftest import TOKEN, URL, Client, MakeSomeone
from treadle.features.accounts.access import Role, Scope

ME = "/external-api/v1/me"
ALL = [str(each) for each in Scope]


async def _key(client: Client, *scopes: str, **more: Any) -> Any:
    body = {"name": "deploys", "scopes": list(scopes) or ALL, **more}
    return await client.post("/api/v2/api-keys", body, status=201)


async def _with(client: Client, secret: str, path: str = ME, **headers: str) -> httpx.Response:
    return await client.http.get(path, headers={"Authorization": "", "X-API-Key": secret, **headers})


async def _owner(client: Client) -> asyncpg.Connection:
    return await asyncpg.connect(client.urls.owner)


async def test_a_key_is_shown_once_and_opens_the_external_api(client: Client) -> None:
    made = await _key(client, "IDENTITY", "READ_BLOCK")
    assert made["secret"].startswith(made["head"])
    assert len(made["secret"]) > 40
    listed = await client.get("/api/v2/api-keys?page_size=100")
    assert made["id"] in [each["id"] for each in listed["api_keys"]]
    assert "secret" not in listed["api_keys"][0]
    assert made["secret"] not in str(listed)
    me = (await _with(client, made["secret"])).json()
    assert me["scopes"] == ["IDENTITY", "READ_BLOCK"]
    assert me["role"] == "owner"
    as_bearer = await client.http.get(ME, headers={"Authorization": f"Bearer {made['secret']}"})
    assert as_bearer.json() == me


async def test_k1_no_table_holds_the_secret(client: Client) -> None:
    secret = (await _key(client))["secret"]
    connection = await _owner(client)
    try:
        for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            found = await connection.fetchval(
                f"SELECT count(*) FROM {row['tablename']} t WHERE t::text LIKE '%' || $1 || '%'", secret[10:]
            )
            assert found == 0, row["tablename"]
    finally:
        await connection.close()


async def test_a_key_opens_nothing_but_the_external_api(client: Client) -> None:
    secret = (await _key(client))["secret"]
    for path in ("/api/v2/executions", "/api/v2/api-keys", "/api/v2/me", "/metrics"):
        answers = [
            await _with(client, secret, path),
            await client.http.get(path, headers={"Authorization": f"Bearer {secret}"}),
        ]
        assert [each.status_code for each in answers if path != "/metrics"] in ([401, 401], [])


@pytest.mark.parametrize("secret", ["", "tk_", "tk_" + "x" * 43, "x" * 46, "tk_\u00fc", "' OR 1=1 --"])
async def test_t15_what_is_no_key_opens_nothing(client: Client, secret: str) -> None:
    answer = await client.http.get(ME, headers={b"Authorization": b"", b"X-API-Key": secret.encode()})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")


async def test_t15_a_key_in_the_address_is_not_read(client: Client) -> None:
    secret = (await _key(client))["secret"]
    for name in ("api_key", "X-API-Key", "key", "token"):
        answer = await client.http.get(f"{ME}?{name}={secret}", headers={"Authorization": ""})
        assert answer.status_code == 401


async def test_a9_a_key_is_good_for_its_scopes_only(client: Client) -> None:
    secret = (await _key(client, "READ_BLOCK"))["secret"]
    assert (await _with(client, secret, "/external-api/v1/blocks")).status_code == 200
    for path in (ME, "/external-api/v1/graphs"):
        answer = await _with(client, secret, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")


async def test_t15_a_revoked_key_is_refused_at_once(client: Client) -> None:
    made = await _key(client)
    assert (await _with(client, made["secret"])).status_code == 200
    assert (await client.http.delete(f"/api/v2/api-keys/{made['id']}")).status_code == 204
    assert (await _with(client, made["secret"])).status_code == 401
    assert (await client.http.delete(f"/api/v2/api-keys/{made['id']}")).status_code == 404


async def test_t15_a_key_that_another_process_revokes_is_heard_of(client: Client) -> None:
    made = await _key(client)
    assert (await _with(client, made["secret"])).status_code == 200
    connection = await _owner(client)
    try:
        await connection.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", made["id"])
    finally:
        await connection.close()
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    while (await _with(client, made["secret"])).status_code != 401:
        assert datetime.now(UTC) < deadline


async def test_a_key_ends_with_its_time_and_with_its_person(client: Client, someone: MakeSomeone) -> None:
    brief = await _key(client, days=1)
    assert datetime.fromisoformat(brief["expires_at"]) - datetime.fromisoformat(brief["created_at"]) == timedelta(
        days=1
    )
    ann = await someone(Role.EDITOR)
    anns = await _key(ann.client)
    connection = await _owner(client)
    try:
        await connection.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", brief["id"])
        await connection.execute("UPDATE users SET disabled_at = now() WHERE id = $1", ann.id)
    finally:
        await connection.close()
    assert (await _with(client, brief["secret"])).status_code == 401
    assert (await _with(client, anns["secret"])).status_code == 401


async def test_a_key_is_for_one_workspace(client: Client, someone: MakeSomeone) -> None:
    ann = await someone(Role.EDITOR)
    secret = (await _key(ann.client))["secret"]
    me = (await _with(client, secret)).json()
    assert me["role"] == "editor"
    assert (await _with(client, secret, **{"X-Workspace-Id": me["workspace_id"]})).status_code == 200
    own = (await ann.client.http.get("/api/v2/me", headers={"X-Workspace-Id": me["workspace_id"]})).json()
    others = [each["id"] for each in own["workspaces"] if each["id"] != me["workspace_id"]]
    assert others
    for other in (*others, str(uuid4())):
        assert (await _with(client, secret, **{"X-Workspace-Id": other})).status_code == 404


async def test_everybody_has_their_own_keys_and_owners_see_all(client: Client, someone: MakeSomeone) -> None:
    ann, bob = await someone(Role.VIEWER), await someone(Role.EDITOR)
    key = await _key(ann.client)
    assert [each["id"] for each in (await ann.client.get("/api/v2/api-keys"))["api_keys"]] == [key["id"]]
    assert (await bob.client.get("/api/v2/api-keys"))["api_keys"] == []
    assert (await bob.client.http.get("/api/v2/api-keys?everybody=true")).status_code == 403
    assert (await bob.client.http.delete(f"/api/v2/api-keys/{key['id']}")).status_code == 404
    everybodys = await client.get("/api/v2/api-keys?everybody=true&page_size=100")
    assert key["id"] in [each["id"] for each in everybodys["api_keys"]]
    stranger = await someone()
    assert (await stranger.client.http.delete(f"/api/v2/api-keys/{key['id']}")).status_code == 404
    assert (await client.http.delete(f"/api/v2/api-keys/{key['id']}")).status_code == 204


async def test_the_use_of_a_key_is_noted(client: Client) -> None:
    made = await _key(client)
    assert made["last_used_at"] is None
    await _with(client, made["secret"])
    listed = (await client.get("/api/v2/api-keys?page_size=100"))["api_keys"]
    assert next(each for each in listed if each["id"] == made["id"])["last_used_at"] is not None


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scopes": ["IDENTITY"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["EVERYTHING"]},
        {"name": "x", "scopes": ["IDENTITY"], "days": 0},
        {"name": "x", "scopes": ["IDENTITY"], "user_id": str(uuid4())},
        {"name": "a\0b", "scopes": ["IDENTITY"]},
    ],
)
async def test_bad_requests_make_no_key(client: Client, body: Any) -> None:
    await client.post("/api/v2/api-keys", body, status=422)


async def test_the_external_api_knows_the_agents_of_the_keys_workspace(client: Client, someone: MakeSomeone) -> None:
    graph = (await client.post("/api/v2/builder/graphs", GREETING, status=201))["id"]
    secret = (await _key(client, "READ_GRAPH"))["secret"]
    detail = (await _with(client, secret, f"/external-api/v1/graphs/{graph}")).json()
    assert detail["input_schema"]["required"] == ["who"]
    listed = (await _with(client, secret, "/external-api/v1/graphs")).json()
    assert graph in [each["id"] for each in listed["graphs"]]
    stranger = await someone()
    foreign = (await _key(stranger.client, "READ_GRAPH"))["secret"]
    assert (await _with(client, foreign, f"/external-api/v1/graphs/{graph}")).status_code == 404
    assert (await _with(client, foreign, "/external-api/v1/graphs")).json()["graphs"] == []


async def test_a_sign_in_may_use_the_external_api_too(client: Client) -> None:
    answer = await client.http.get(ME, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["scopes"]) == (200, [])
    assert str(answer.url).startswith(URL)
