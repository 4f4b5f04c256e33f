"""People as administrators see and change them, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.web.conftest import TOKEN, Client, MakeSomeone, Someone
from treadle.base.ids import OPERATOR

USERS = "/api/v2/admin/users"


async def change(client: Client, who: Someone, body: Any, status: int = 200) -> Any:
    answer = await client.http.patch(f"{USERS}/{who.id}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
async def admin(someone: MakeSomeone) -> AsyncIterator[Client]:
    """An administrator with an account."""
    yield (await someone(admin=True)).client


async def test_people_are_found(admin: Client, someone: MakeSomeone) -> None:
    ann, bob = await someone(), await someone()
    await change(admin, bob, {"disabled": True})
    email = ann.signed_in.person.user.email
    assert email is not None
    for search in (email, email[5:20].upper()):
        found = await admin.get(USERS, params={"search": search})
        assert [each["id"] for each in found["users"]] == [str(ann.id)]
        assert found["pagination"]["total"] == 1
    assert (await admin.get(USERS, params={"search": "%"}))["users"] == []
    page = await admin.get(USERS, params={"page_size": 2})
    assert [each["id"] for each in page["users"]] == [str(bob.id), str(ann.id)], "the newest first"
    for status, seen in (("active", ann), ("disabled", bob)):
        found = (await admin.get(USERS, params={"status": status, "page_size": 100}))["users"]
        ids = {each["id"] for each in found}
        assert str(seen.id) in ids and {each["status"] for each in found} == {status}
    assert all(each["admin"] for each in (await admin.get(USERS, params={"admin": "true"}))["users"])
    assert str(OPERATOR) not in {each["id"] for each in (await admin.get(USERS, params={"page_size": 100}))["users"]}


async def test_one_person_is_shown_with_what_they_have(admin: Client, someone: MakeSomeone) -> None:
    ann = await someone()
    await ann.client.post("/api/v2/api-keys", {"name": "k", "scopes": ["IDENTITY"]}, status=201)
    seen = await admin.get(f"{USERS}/{ann.id}")
    assert (seen["status"], seen["admin"], seen["issuers"]) == ("active", False, ["email"])
    assert (seen["open_sessions"], seen["api_keys"], len(seen["workspaces"])) == (1, 1, 1)
    assert "password" not in str(seen) and "hash" not in str(seen)
    for nobody in (uuid4(), OPERATOR):
        assert (await admin.http.get(f"{USERS}/{nobody}")).status_code == 404
        assert (await admin.http.patch(f"{USERS}/{nobody}", json={"admin": True})).status_code == 404


async def test_t6_whoever_is_disabled_is_out_at_once_and_comes_back_when_enabled(
    admin: Client, client: Client, someone: MakeSomeone
) -> None:
    ann = await someone()
    made = await ann.client.post("/api/v2/api-keys", {"name": "k", "scopes": ["IDENTITY"]}, status=201)
    ended: list[Any] = []
    client.site.accounts.on_session_end(ended.append)
    key = {"Authorization": "", "X-API-Key": made["secret"]}
    assert (await client.http.get("/external-api/v1/me", headers=key)).status_code == 200
    assert (await ann.client.http.get("/api/v2/me")).status_code == 200
    disabled = await change(admin, ann, {"disabled": True})
    assert (disabled["status"], disabled["open_sessions"]) == ("disabled", 0)
    assert (await ann.client.http.get("/api/v2/me")).status_code == 401
    assert (await client.http.get("/external-api/v1/me", headers=key)).status_code == 401
    assert ann.signed_in.session in ended, "which closes the sockets"
    refresh = {"refresh_token": ann.signed_in.refresh_token}
    answer = await client.http.post("/auth/v1/token?grant_type=refresh_token", json=refresh)
    assert answer.status_code == 400
    enabled = await change(admin, ann, {"disabled": False})
    assert (enabled["status"], enabled["disabled_at"], enabled["open_sessions"]) == ("active", None, 0)
    assert (await ann.client.http.get("/api/v2/me")).status_code == 401, "the session has ended for good"
    assert (await client.http.get("/external-api/v1/me", headers=key)).status_code == 200


async def test_administering_is_given_and_taken(admin: Client, someone: MakeSomeone) -> None:
    ann = await someone()
    assert (await ann.client.http.get(USERS)).status_code == 403
    assert (await change(admin, ann, {"admin": True}))["admin"] is True
    assert (await ann.client.http.get(USERS)).status_code == 200
    assert (await change(admin, ann, {"admin": True}))["admin"] is True, "what is so stays so"
    await change(admin, ann, {"admin": False})
    assert (await ann.client.http.get(USERS)).status_code == 403
    log = await admin.get("/api/v2/admin/audit", params={"target": str(ann.id), "action": "admin"})
    assert [each["action"] for each in log["entries"]] == ["admin.taken", "admin.given"], "each once"


async def test_nobody_locks_themselves_out_and_the_last_administrator_stays(
    client: Client, someone: MakeSomeone
) -> None:
    ann, bob = await someone(admin=True), await someone(admin=True)
    for body in ({"disabled": True}, {"admin": False}):
        assert "themselves" in (await change(ann.client, ann, body, 409))["error"]["message"]
    others = (await client.get(USERS, params={"admin": "true", "status": "active", "page_size": 100}))["users"]
    for each in others:  # of other tests
        if each["id"] not in (str(ann.id), str(bob.id)):
            assert (await client.http.patch(f"{USERS}/{each['id']}", json={"admin": False})).status_code == 200
    # At once, by whoever holds the machine, who is none of them.
    answers = await asyncio.gather(
        *(client.http.patch(f"{USERS}/{each.id}", json={"admin": False}) for each in (ann, bob))
    )
    assert sorted(each.status_code for each in answers) == [200, 409]
    left = (await client.get(USERS, params={"admin": "true", "status": "active"}))["users"]
    assert len(left) == 1
    answer = await client.http.patch(f"{USERS}/{left[0]['id']}", json={"disabled": True})
    assert (answer.status_code, "no administrator" in answer.text) == (409, True)


async def test_a5_nothing_else_about_people_is_changed(admin: Client, someone: MakeSomeone) -> None:
    ann = await someone()
    for field in ("email", "id", "email_proven", "profile", "disabled_at"):
        await change(admin, ann, {field: "x"}, 422)


async def test_two_administrators_disable_each_other_and_one_stays(client: Client, someone: MakeSomeone) -> None:
    ann, bob = await someone(admin=True), await someone(admin=True)
    answers = await asyncio.gather(
        ann.client.http.patch(f"{USERS}/{bob.id}", json={"disabled": True}),
        bob.client.http.patch(f"{USERS}/{ann.id}", json={"disabled": True}),
    )
    assert all(each.status_code in (200, 401, 403, 409) for each in answers)
    active = await client.get(USERS, params={"admin": "true", "status": "active"})
    assert active["pagination"]["total"] >= 1
    assert client.http.headers["Authorization"].endswith(TOKEN)
