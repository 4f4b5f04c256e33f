"""Reading the audit log over HTTP: who sees what, filters, reading on; and that nobody changes it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.conftest import Client, MakeSomeone, Someone
from treadle.base.ids import WorkspaceId
from treadle.features.accounts.access import Role
from treadle.web.app import make_routes

MINE, WHOLE = "/api/v2/audit", "/api/v2/admin/audit"


async def a_story(client: Client, someone: MakeSomeone) -> tuple[Someone, WorkspaceId]:
    """An owner in whose workspace something has happened."""
    owner = await someone()
    workspace = (await owner.client.post("/api/v2/workspaces", {"name": "First"}, status=201))["id"]
    path = f"/api/v2/workspaces/{workspace}"
    for name in ("Second", "Third"):
        assert (await owner.client.http.patch(path, json={"name": name})).status_code == 200
    member = await someone(Role.VIEWER, workspace=WorkspaceId(UUID(workspace)))
    assert (await owner.client.http.patch(f"{path}/members/{member.id}", json={"role": "editor"})).status_code == 200
    assert (await owner.client.http.delete(f"{path}/members/{member.id}")).status_code == 200
    owner.client.http.headers["X-Workspace-Id"] = workspace
    return owner, WorkspaceId(UUID(workspace))


def actions(log: Any) -> list[str]:
    return [each["action"] for each in log["entries"]]


STORY = ["member.removed", "member.changed", "workspace.renamed", "workspace.renamed", "workspace.created"]


async def test_an_owner_reads_what_happened_in_the_workspace(client: Client, someone: MakeSomeone) -> None:
    owner, workspace = await a_story(client, someone)
    log = await owner.client.get(MINE)
    assert (actions(log), log["next"]) == (STORY, None)
    first = log["entries"][-1]
    assert first["actor"]["id"] == str(owner.id) and first["actor"]["email"] == owner.signed_in.person.user.email
    assert (first["target"], first["workspace_id"]) == (str(workspace), str(workspace))
    assert first["request_id"] and log["entries"][2]["details"] == {"name": "Third"}


async def test_only_who_manages_reads_it_and_only_administrators_read_all(client: Client, someone: MakeSomeone) -> None:
    owner, workspace = await a_story(client, someone)
    for role in (Role.EDITOR, Role.RUNNER, Role.VIEWER):
        member = await someone(role, workspace=workspace)
        refused = await member.client.http.get(MINE)
        assert refused.status_code == 403
        assert f"Your part in this workspace, {role}," in refused.text
    stranger = await someone()
    there = {"X-Workspace-Id": str(workspace)}
    assert (await stranger.client.http.get(MINE, headers=there)).status_code == 404
    assert actions(await stranger.client.get(MINE)) == []
    refused = await owner.client.http.get(WHOLE)
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "This is for administrators of the installation."
    admin = await someone(admin=True)
    assert actions(await admin.client.get(WHOLE, params={"workspace": str(workspace)})) == STORY
    everything = await admin.client.get(WHOLE, params={"action": "session.begun", "actor": str(admin.id)})
    assert [each["workspace_id"] for each in everything["entries"]] == [None]


async def test_it_is_filtered(client: Client, someone: MakeSomeone) -> None:
    owner, workspace = await a_story(client, someone)
    for wanted, found in (
        ({"action": "member"}, STORY[:2]),
        ({"action": "workspace.renamed"}, STORY[2:4]),
        ({"action": "work"}, []),
        ({"action": "%"}, []),
        ({"actor": str(owner.id)}, STORY),
        ({"actor": str(uuid4())}, []),
        ({"target": str(workspace)}, STORY[2:]),
        ({"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, STORY),
        ({"since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, []),
        ({"until": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, []),
    ):
        assert actions(await owner.client.get(MINE, params=wanted)) == found, wanted


@pytest.mark.parametrize("since", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "yesterday"])
async def test_a_moment_that_is_none_is_refused(client: Client, since: str) -> None:
    assert (await client.http.get(MINE, params={"since": since})).status_code == 422


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 7))
async def test_reading_on_gives_each_act_once_in_order(limit: int, client: Client, someone: MakeSomeone) -> None:
    owner, _ = await a_story(client, someone)
    seen: list[str] = []
    wanted: dict[str, Any] = {"limit": limit}
    while True:
        log = await owner.client.get(MINE, params=wanted)
        assert len(log["entries"]) <= limit
        seen += actions(log)
        if log["next"] is None:
            break
        await owner.client.http.patch(
            f"/api/v2/workspaces/{owner.client.http.headers['X-Workspace-Id']}", json={"name": "x"}
        )
        wanted["before"] = log["next"]
    assert seen == STORY, "what happens meanwhile is newer, and does not move what is read"


async def test_no_route_changes_it() -> None:
    document = make_routes("test").openapi()
    found = {path: set(methods) for path, methods in document["paths"].items() if "audit" in path}
    assert found == {MINE: {"get"}, WHOLE: {"get"}}
