"""Workspaces and members over HTTP: who sees and changes what (cases A4, A6, A7)."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.web.conftest import TOKEN, Client, MakeSomeone
from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, WorkspaceId
from treadle.features.accounts.access import Role

LOCAL = f"/api/v2/workspaces/{LOCAL_WORKSPACE}"


async def made(client: Client, name: str = "Shared") -> WorkspaceId:
    """The id of a new workspace of the client's."""
    return WorkspaceId(UUID((await client.post("/api/v2/workspaces", {"name": name}, status=201))["id"]))


async def status(client: Client, method: str, path: str, body: Any = None) -> int:
    return (await client.http.request(method, path, json=body)).status_code


async def test_everybody_has_a_workspace_of_their_own(client: Client, someone: MakeSomeone) -> None:
    who = await someone()
    me = await who.client.get("/api/v2/me")
    assert (me["id"], me["admin"]) == (str(who.id), False)
    assert me["email"].startswith(me["name"])
    assert me["workspace"] == me["workspaces"][0]
    assert (me["workspace"]["role"], me["workspace"]["personal"]) == ("owner", True)
    assert me["workspace"]["id"] != str(LOCAL_WORKSPACE)
    mine = await client.get("/api/v2/me")
    assert (mine["id"], mine["admin"], mine["workspace"]["id"]) == (str(OPERATOR), True, str(LOCAL_WORKSPACE))


async def test_what_is_anothers_is_not_there(client: Client, someone: MakeSomeone) -> None:
    stranger = (await someone()).client
    for path in (LOCAL, f"{LOCAL}/members"):
        assert await status(stranger, "GET", path) == 404
    assert await status(stranger, "PATCH", LOCAL, {"name": "Mine"}) == 404
    assert await status(stranger, "POST", f"{LOCAL}/leave") == 404
    elsewhere = {"X-Workspace-Id": str(LOCAL_WORKSPACE)}
    assert (await stranger.http.get("/api/v2/executions", headers=elsewhere)).status_code == 404
    assert (await stranger.http.get("/api/v2/executions")).status_code == 200
    nowhere = await stranger.http.get("/api/v2/executions", headers={"X-Workspace-Id": str(uuid4())})
    assert nowhere.status_code == 404
    assert [each["id"] for each in (await stranger.get("/api/v2/workspaces"))["workspaces"]] != [str(LOCAL_WORKSPACE)]


@pytest.mark.parametrize("role", list(Role))
async def test_each_part_may_what_the_table_says(client: Client, someone: MakeSomeone, role: Role) -> None:
    workspace = await made(client)
    member = (await someone(role, workspace=workspace)).client
    path = f"/api/v2/workspaces/{workspace}"
    assert (await member.get(path))["role"] == role
    assert await status(member, "GET", f"{path}/members") == 200
    assert await status(member, "PATCH", path, {"name": "Renamed"}) == (200 if role is Role.OWNER else 403)
    other = await someone(Role.VIEWER, workspace=workspace)
    changed = await status(member, "PATCH", f"{path}/members/{other.id}", {"role": "owner"})
    assert changed == (200 if role is Role.OWNER else 403)
    assert await status(member, "DELETE", f"{path}/members/{other.id}") == (200 if role is Role.OWNER else 403)
    edits = await status(member, "POST", "/api/v2/builder/graphs", {"nodes": [{}]})
    assert edits == (422 if role in (Role.OWNER, Role.EDITOR) else 403)
    assert await status(member, "DELETE", path) == (200 if role is Role.OWNER else 403)


async def test_the_path_counts_and_not_the_header(client: Client, someone: MakeSomeone) -> None:
    workspace = await made(client)
    viewer = await someone(Role.VIEWER, workspace=workspace)
    own = (await viewer.client.get("/api/v2/workspaces"))["workspaces"][0]["id"]
    answer = await viewer.client.http.patch(
        f"/api/v2/workspaces/{workspace}", json={"name": "Taken"}, headers={"X-Workspace-Id": own}
    )
    assert answer.status_code == 403
    assert await status(client, "GET", "/api/v2/workspaces/no-id") == 422


async def test_a_changed_part_counts_at_once(client: Client, someone: MakeSomeone) -> None:
    workspace = await made(client)
    path = f"/api/v2/workspaces/{workspace}"
    who = await someone(Role.EDITOR, workspace=workspace)
    assert await status(who.client, "PATCH", path, {"name": "No"}) == 403
    answer = await client.http.patch(f"{path}/members/{who.id}", json={"role": "owner"})
    assert answer.json()["role"] == "owner"
    assert await status(who.client, "PATCH", path, {"name": "Yes"}) == 200
    assert await status(client, "DELETE", f"{path}/members/{who.id}") == 200
    assert await status(who.client, "GET", path) == 404
    assert await status(client, "DELETE", f"{path}/members/{who.id}") == 404


async def test_a_workspace_is_never_without_an_owner(client: Client, someone: MakeSomeone) -> None:
    workspace = await made(client)
    path = f"/api/v2/workspaces/{workspace}"
    for method, to, body in (
        ("POST", f"{path}/leave", None),
        ("PATCH", f"{path}/members/{OPERATOR}", {"role": "viewer"}),
        ("DELETE", f"{path}/members/{OPERATOR}", None),
    ):
        answer = await client.http.request(method, to, json=body)
        assert (answer.status_code, "no owner" in answer.text) == (409, True)
    second = await someone(Role.OWNER, workspace=workspace)
    left = await asyncio.gather(*(status(each, "POST", f"{path}/leave") for each in (client, second.client)))
    assert sorted(left) == [200, 409], "of two owners who leave at once, one stays"


async def test_nobody_loses_their_own_workspace(client: Client, someone: MakeSomeone) -> None:
    who = await someone()
    own = (await who.client.get("/api/v2/me"))["workspace"]["id"]
    helper = await someone(Role.OWNER, workspace=WorkspaceId(UUID(own)))
    path = f"/api/v2/workspaces/{own}"
    assert await status(helper.client, "DELETE", path) == 409
    assert await status(helper.client, "DELETE", f"{path}/members/{who.id}") == 409
    assert await status(helper.client, "PATCH", f"{path}/members/{who.id}", {"role": "viewer"}) == 409
    assert await status(who.client, "POST", f"{path}/leave") == 409
    assert await status(helper.client, "POST", f"{path}/leave") == 200


async def test_the_workspace_of_the_machine_is_not_deleted(client: Client) -> None:
    assert await status(client, "DELETE", LOCAL) == 409
    assert (await client.get(LOCAL))["id"] == str(LOCAL_WORKSPACE)


async def test_a_deleted_workspace_is_gone_for_all(client: Client, someone: MakeSomeone) -> None:
    workspace = await made(client)
    path = f"/api/v2/workspaces/{workspace}"
    who = await someone(Role.RUNNER, workspace=workspace)
    assert await status(who.client, "GET", path) == 200
    assert await status(client, "DELETE", path) == 200
    del who.client.http.headers["X-Workspace-Id"]
    for each in (client, who.client):
        assert await status(each, "GET", path) == 404
        assert str(workspace) not in str(await each.get("/api/v2/workspaces"))


async def test_of_several_who_delete_a_workspace_one_does_and_the_others_hear_that_it_is_gone(client: Client) -> None:
    workspace = await made(client)
    identity = await client.site.accounts.identify(TOKEN)
    assert identity is not None
    who = await client.site.accounts.principal(identity, workspace)
    await client.site.workspaces.delete(who)
    with pytest.raises(NotFound):
        await client.site.workspaces.delete(who)


async def test_lists_come_in_pages(client: Client, someone: MakeSomeone) -> None:
    who = (await someone()).client
    names = [f"Workspace {number}" for number in range(4)]
    for name in names:
        await made(who, name)
    first = await who.get("/api/v2/workspaces?page_size=3")
    second = await who.get("/api/v2/workspaces?page_size=3&page=2")
    assert first["pagination"] == {"total": 5, "page": 1, "page_size": 3, "total_pages": 2}
    shown = [each["name"] for each in first["workspaces"] + second["workspaces"]]
    assert shown == ["Personal workspace", *names], "one's own first"
    mine = await client.get("/api/v2/workspaces?page_size=100")
    assert str(LOCAL_WORKSPACE) in [each["id"] for each in mine["workspaces"]]
    assert mine["pagination"]["total"] == len(mine["workspaces"])


@pytest.mark.parametrize("body", [{"name": ""}, {"name": " "}, {"name": "x" * 101}, {"name": "a\0b"}, {}])
async def test_names_are_checked(client: Client, body: dict[str, str]) -> None:
    assert await status(client, "POST", "/api/v2/workspaces", body) == 422


async def test_nothing_is_assigned_that_is_not_asked_for(client: Client) -> None:
    """Case A5."""
    for more in ({"personal_of": str(OPERATOR)}, {"id": str(uuid4())}, {"role": "owner"}, {"owner": "me"}):
        assert await status(client, "POST", "/api/v2/workspaces", {"name": "x", **more}) == 422
