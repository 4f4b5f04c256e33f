"""Invitations over HTTP: made, seen, used, withdrawn, by those who may."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.web.conftest import Client, MakeSomeone, Someone
from treadle.base.ids import LOCAL_WORKSPACE, WorkspaceId
from treadle.features.accounts.access import Role

LOCAL = f"/api/v2/workspaces/{LOCAL_WORKSPACE}/invitations"
PASSWORD = "a horse, correct"
Body = dict[str, Any]


def an_address() -> str:
    return f"{uuid4().hex}@people.test"


def token_of(made: Body) -> str:
    link: str = made["link"]
    return link.partition("#token=")[2]


async def workspace_of(client: Client) -> WorkspaceId:
    """A new workspace of the client's, so that tests do not count each other's invitations."""
    return WorkspaceId(UUID((await client.post("/api/v2/workspaces", {"name": "Shared"}, status=201))["id"]))


async def invite(client: Client, path: str = LOCAL, *, role: str | None = "editor", **options: Any) -> Body:
    wanted = {"email": options.pop("email", an_address()), **({"role": role} if role else {})}
    made: Body = await client.post(path, wanted, status=201, **options)
    return made


async def status(client: Client, method: str, path: str, body: Any = None) -> int:
    return (await client.http.request(method, path, json=body)).status_code


async def test_the_whole_life_of_an_invitation(client: Client, someone: MakeSomeone) -> None:
    path = f"/api/v2/workspaces/{await workspace_of(client)}/invitations"
    made = await invite(client, path)
    assert made["link"].startswith("http://localhost:8006/invitation#token=")
    assert (made["mailed"], made["role"], made["workspace_name"], made["inviter_name"]) == (
        False,
        "editor",
        "Shared",
        "Operator",
    )
    listed = await client.get(path)
    assert listed["pagination"]["total"] == 1
    assert listed["invitations"] == [{key: value for key, value in made.items() if key not in ("link", "mailed")}]
    nobody = {"Authorization": ""}
    seen = await client.post("/api/v2/invitations/lookup", {"token": token_of(made)}, headers=nobody)
    assert (seen["email"], seen["workspace_name"], seen["role"]) == (made["email"], "Shared", "editor")
    assert set(seen) == {"email", "workspace_name", "role", "inviter_name", "expires_at"}

    sign_up = {"email": made["email"], "password": PASSWORD, "data": {"invitation": token_of(made)}}
    session = await client.post("/auth/v1/signup", sign_up, headers=nobody)
    as_new = {"Authorization": f"Bearer {session['access_token']}"}
    workspaces = (await client.get("/api/v2/workspaces", headers=as_new))["workspaces"]
    assert [(each["name"], each["role"]) for each in workspaces] == [
        ("Personal workspace", "owner"),
        ("Shared", "editor"),
    ]
    gone = await client.post("/api/v2/invitations/lookup", {"token": token_of(made)}, status=404, headers=nobody)
    assert gone["error"]["details"]["reason"] == "invitation_gone"
    assert (await client.get(path))["pagination"]["total"] == 0

    second = await invite(client, path, role="viewer")
    other = await someone()
    for _ in range(2):
        joined = await other.client.post("/api/v2/invitations/accept", {"token": token_of(second)})
        assert (joined["name"], joined["role"]) == ("Shared", "viewer")
    third = await invite(client, path)
    assert await status(client, "DELETE", f"{path}/{third['id']}") == 204
    assert await status(client, "DELETE", f"{path}/{third['id']}") == 404
    assert await status(other.client, "POST", "/api/v2/invitations/accept", {"token": token_of(third)}) == 404
    log = (await client.get("/api/v2/audit", headers={"X-Workspace-Id": path.split("/")[4]}))["entries"]
    assert [each["action"] for each in log if each["action"].startswith("inv")] == [
        "invitation.revoked",
        "invitation.made",
        "invitation.accepted",
        "invitation.made",
        "invitation.accepted",
        "invitation.made",
    ]


async def test_only_who_manages_the_workspace_invites(client: Client, someone: MakeSomeone) -> None:
    made = await invite(client)
    for role in Role:
        member = (await someone(role)).client
        may = role is Role.OWNER
        assert await status(member, "GET", LOCAL) == (200 if may else 403)
        wanted = {"email": an_address(), "role": "owner"}
        assert await status(member, "POST", LOCAL, wanted) == (201 if may else 403)
        assert await status(member, "POST", "/api/v2/admin/invitations", {"email": an_address()}) == 403
        assert await status(member, "GET", "/api/v2/admin/invitations") == 403
    stranger = (await someone()).client
    assert await status(stranger, "GET", LOCAL) == 404
    own = (await stranger.get("/api/v2/me"))["workspace"]["id"]
    assert await status(stranger, "DELETE", f"/api/v2/workspaces/{own}/invitations/{made['id']}") == 404
    assert (await client.post("/api/v2/invitations/lookup", {"token": token_of(made)}))["email"] == made["email"]


async def test_an_administrator_sees_and_withdraws_them_all(client: Client, someone: MakeSomeone) -> None:
    to_workspace, to_install = await invite(client), await invite(client, "/api/v2/admin/invitations", role=None)
    assert (to_install["workspace_id"], to_install["role"]) == (None, None)
    admin = await someone(admin=True)
    all_of_them = {
        each["id"] for each in (await admin.client.get("/api/v2/admin/invitations?page_size=100"))["invitations"]
    }
    assert {to_workspace["id"], to_install["id"]} <= all_of_them
    assert to_install["id"] not in {each["id"] for each in (await client.get(f"{LOCAL}?page_size=100"))["invitations"]}
    for each in (to_workspace, to_install):
        assert await status(admin.client, "DELETE", f"/api/v2/admin/invitations/{each['id']}") == 204
        assert await status(client, "POST", "/api/v2/invitations/lookup", {"token": token_of(each)}) == 404


async def test_a_request_that_is_sent_again_invites_once_and_brings_a_link_that_works(client: Client) -> None:
    path = f"/api/v2/workspaces/{await workspace_of(client)}/invitations"
    key, email = {"Idempotency-Key": str(uuid4())}, an_address()
    first = await client.http.post(path, json={"email": email, "role": "viewer"}, headers=key)
    again = await client.http.post(path, json={"email": email, "role": "viewer"}, headers=key)
    assert (first.status_code, again.status_code, again.headers["idempotent-replayed"]) == (201, 201, "true")
    assert {**first.json(), "link": ""} == {**again.json(), "link": ""}
    assert (await client.get(path))["pagination"]["total"] == 1
    assert await status(client, "POST", "/api/v2/invitations/lookup", {"token": token_of(first.json())}) == 404
    assert await status(client, "POST", "/api/v2/invitations/lookup", {"token": token_of(again.json())}) == 200
    other = await client.http.post(path, json={"email": an_address(), "role": "viewer"}, headers=key)
    assert other.status_code == 422
    connection = await asyncpg.connect(client.urls.owner)
    try:
        stored = await connection.fetchval("SELECT string_agg(convert_from(body, 'UTF8'), ' ') FROM idempotency_keys")
    finally:
        await connection.close()
    assert email in stored and token_of(first.json()) not in stored and "link" not in stored


async def test_twins_make_one_workspace_and_a_failure_leaves_nothing_behind(
    client: Client, someone: MakeSomeone
) -> None:
    who: Someone = await someone()
    key = {"Idempotency-Key": str(uuid4())}
    before = (await who.client.get("/api/v2/workspaces"))["pagination"]["total"]
    answers = await asyncio.gather(
        *(who.client.http.post("/api/v2/workspaces", json={"name": "Twin"}, headers=key) for _ in range(4))
    )
    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    assert (await who.client.get("/api/v2/workspaces"))["pagination"]["total"] == before + 1
    assert await status(who.client, "GET", f"/api/v2/workspaces/{answers[0].json()['id']}") == 200
    refused = {"Idempotency-Key": str(uuid4())}
    path = f"/api/v2/workspaces/{answers[0].json()['id']}/invitations"
    own = {"email": who.signed_in.person.user.email, "role": "viewer"}
    assert (await who.client.http.post(path, json=own, headers=refused)).status_code == 409
    mended = {"email": an_address(), "role": "viewer"}
    assert (await who.client.http.post(path, json=mended, headers=refused)).status_code == 201


async def test_keys_of_one_person_say_nothing_to_another(client: Client, someone: MakeSomeone) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    made = [
        await (await someone()).client.post("/api/v2/workspaces", {"name": "Mine"}, status=201, headers=key)
        for _ in range(2)
    ]
    assert made[0]["id"] != made[1]["id"]


async def test_ones_own_invitations_are_listed_accepted_and_declined(client: Client, someone: MakeSomeone) -> None:
    who = await someone()
    email = who.signed_in.person.user.email
    path = f"/api/v2/workspaces/{await workspace_of(client)}/invitations"
    first, second = await invite(client, path, email=email), await invite(client, email=email)
    mine = (await who.client.get("/api/v2/invitations"))["invitations"]
    assert [each["id"] for each in mine] == [second["id"], first["id"]]
    stranger = (await someone()).client
    for act in ("accept", "decline"):
        assert await status(stranger, "POST", f"/api/v2/invitations/{first['id']}/{act}") == 404
    for _ in range(2):
        assert (await who.client.post(f"/api/v2/invitations/{first['id']}/accept"))["role"] == "editor"
    assert await status(stranger, "POST", f"/api/v2/invitations/{first['id']}/accept") == 404
    assert await status(who.client, "POST", f"/api/v2/invitations/{second['id']}/decline") == 200
    assert (await who.client.get("/api/v2/invitations"))["invitations"] == []
    assert await status(who.client, "POST", f"/api/v2/invitations/{second['id']}/accept") == 404


@pytest.mark.parametrize(
    "body",
    [
        {"email": "no address", "role": "viewer"},
        {"email": "a@b.test", "role": "king"},
        {"email": "a@b.test"},
        {"email": "a@b.test", "role": "viewer", "invited_by": str(uuid4())},
        {"email": "a\0@b.test", "role": "viewer"},
    ],
)
async def test_what_cannot_be_an_invitation_is_refused(client: Client, body: Body) -> None:
    assert await status(client, "POST", LOCAL, body) == 422
