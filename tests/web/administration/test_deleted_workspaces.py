"""Deleted workspaces: brought back while they are kept, and then removed with everything in them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.main.installs import ASKING, GREETING
from tests.web.conftest import Client, MakeSomeone, Someone
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, GraphId, WorkspaceId
from treadle.engine.store import WorkspaceDeleted
from treadle.features.accounts.access import Role
from treadle.main.purging import purge_workspaces, tables_with_people_data

DELETED = "/api/v2/admin/deleted-workspaces"
LARGE = "large " * 20_000
MONTH = timedelta(days=30)


@pytest.fixture
async def owner(client: Client, someone: MakeSomeone) -> AsyncIterator[Someone]:
    """Somebody whose requests are about a workspace of theirs that is not their own."""
    who = await someone()
    made = await who.client.post("/api/v2/workspaces", {"name": "Gone"}, status=201)
    who.client.http.headers["X-Workspace-Id"] = made["id"]
    yield who


def workspace_of(who: Someone) -> WorkspaceId:
    return WorkspaceId(UUID(who.client.http.headers["X-Workspace-Id"]))


async def fill(client: Client) -> str:
    """Put something of every kind into the workspace; the id of a run that waits for a person."""
    once = {"Idempotency-Key": str(uuid4())}
    graph = (await client.post("/api/v2/builder/graphs", GREETING, status=201, headers=once))["id"]
    execute = f"/api/v2/builder/graphs/{graph}/execute?wait=30"
    run = (await client.post(execute, {"input_data": {"who": LARGE}}))["id"]
    waiting: str = (await client.execute(ASKING, status=202, wait=0))["execution_id"]
    await client.post(f"/api/v2/executions/{run}/share", status=201)
    await client.http.post("/api/v2/files/upload", files={"file": ("a.txt", b"text")})
    key = {"type": "api_key", "title": "mine", "secret": "canary"}
    await client.post("/api/v2/integrations/github/credentials", key, status=201)
    agent = (await client.get(f"/api/v2/library/agents/by-graph/{graph}"))["id"]
    outer = (await client.post("/api/v2/library/folders", {"name": "Outer"}, status=201))["id"]
    await client.post("/api/v2/library/folders", {"name": "Inner", "parent_id": outer}, status=201)
    await client.http.patch(f"/api/v2/library/agents/{agent}", json={"is_favorite": True, "folder_id": outer})
    await client.post("/api/v2/library/presets", {"execution_id": run, "name": "p"}, status=201)
    await client.post("/api/v2/api-keys", {"name": "k", "scopes": ["IDENTITY"]}, status=201)
    wanted = {"email": f"{uuid4().hex}@people.test", "role": "viewer"}
    path = f"/api/v2/workspaces/{client.http.headers['X-Workspace-Id']}/invitations"
    await client.post(path, wanted, status=201)
    await client.get("/api/v2/builder/search?q=greeting")
    return waiting


async def rows(client: Client, workspace: WorkspaceId) -> dict[str, int]:
    """How many rows each table has of a workspace."""
    connection = await asyncpg.connect(client.urls.owner)
    try:
        tables = await tables_with_people_data(connection)
        counted = {
            each: await connection.fetchval(f"SELECT count(*) FROM {each} WHERE workspace_id = $1", workspace)
            for each in tables
        }
        return {table: number for table, number in counted.items() if number}
    finally:
        await connection.close()


async def delete(who: Someone) -> None:
    answer = await who.client.http.delete(f"/api/v2/workspaces/{workspace_of(who)}")
    assert answer.status_code == 200, answer.text


async def purge(client: Client, home: Path, grace: timedelta) -> int:
    return await purge_workspaces(client.urls.owner, home, grace)


async def test_everything_in_a_deleted_workspace_goes_and_nothing_else(
    client: Client, owner: Someone, someone: MakeSomeone, install: Path
) -> None:
    await someone(Role.VIEWER, workspace=workspace_of(owner))
    waiting, workspace = await fill(owner.client), workspace_of(owner)
    file = (await owner.client.get("/api/v2/files"))["files"][0]["id"]
    assert (await owner.client.http.get(f"/api/v2/files/{file}/content")).content == b"text"
    before = await rows(client, workspace)
    assert {"executions", "journal", "files", "credentials", "members", "invitations", "library_agents"} <= set(before)
    assert {"api_keys", "execution_shares", "graph_texts", "idempotency_keys", "library_presets"} <= set(before)
    stays = (await client.execute(GREETING, who=LARGE))["id"]
    stored = {each for each in (install / "files").rglob("*") if each.is_file()}
    assert (install / "values" / str(workspace)).exists()
    await delete(owner)
    assert (await owner.client.http.get("/api/v2/executions")).status_code == 404
    await client.site.worker.finished(workspace, ExecutionId(UUID(waiting)))
    assert await purge(client, install, MONTH) == 0
    assert (await rows(client, workspace))["members"] == 2, "it is kept"
    others = await rows(client, LOCAL_WORKSPACE)
    assert await purge(client, install, timedelta(0)) >= 1
    assert await rows(client, workspace) == {}
    assert await rows(client, LOCAL_WORKSPACE) == others
    assert not (install / "values" / str(workspace)).exists()
    assert len(stored - {each for each in (install / "files").rglob("*") if each.is_file()}) == 1
    assert (await client.get(f"/api/v2/executions/{stays}"))["status"] == "COMPLETED"
    assert await purge(client, install, timedelta(0)) == 0, "once"
    log = (await client.get("/api/v2/admin/audit", params={"workspace": str(workspace)}))["entries"]
    assert [each["action"] for each in log[:2]] == ["workspace.purged", "invitation.revoked"], "the log stays"
    assert (await client.http.post(f"{DELETED}/{workspace}/restore")).status_code == 404


async def test_what_runs_is_stopped_and_keeps_the_workspace_until_it_is_over(
    client: Client, owner: Someone, install: Path
) -> None:
    waiting, workspace = await fill(owner.client), workspace_of(owner)
    held = await held_by_nobody(client, workspace)
    await delete(owner)
    row = await client.site.worker.finished(workspace, ExecutionId(UUID(waiting)))
    assert (row.status, row.error) == ("TERMINATED", "the workspace was deleted")
    await purge(client, install, timedelta(0))
    assert (await rows(client, workspace))["executions"] == 3
    await on_database(client, "UPDATE executions SET status = 'TERMINATED', worker_id = NULL WHERE id = $1", held)
    assert await purge(client, install, timedelta(0)) >= 1
    assert await rows(client, workspace) == {}


async def test_nothing_begins_in_a_workspace_that_was_deleted_while_a_request_was_under_way(
    client: Client, owner: Someone
) -> None:
    once = {"Idempotency-Key": str(uuid4())}
    graph = GraphId((await owner.client.post("/api/v2/builder/graphs", GREETING, status=201, headers=once))["id"])
    workspace = workspace_of(owner)
    await delete(owner)
    with pytest.raises(WorkspaceDeleted):
        await client.site.executions.start(workspace, graph, {"who": "you"})
    assert "executions" not in await rows(client, workspace)


async def on_database(client: Client, statement: str, *values: Any) -> None:
    connection = await asyncpg.connect(client.urls.owner)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def held_by_nobody(client: Client, workspace: WorkspaceId) -> UUID:
    """A run that goes on for ever: its worker is alive, and never looks."""
    worker, run = uuid4(), uuid4()
    await on_database(client, "INSERT INTO workers (id, name, expires_at) VALUES ($1, 'x:1:1', 'infinity')", worker)
    await on_database(
        client,
        "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format,"
        " worker_id) VALUES ($1, $1, $2, 'g', 1, '', 'RUNNING', 1, $3)",
        run,
        workspace,
        worker,
    )
    return run


async def test_an_administrator_brings_a_deleted_workspace_back(
    client: Client, owner: Someone, someone: MakeSomeone, install: Path
) -> None:
    workspace = workspace_of(owner)
    member = await someone(Role.EDITOR, workspace=workspace)
    await delete(owner)
    assert (await member.client.http.get("/api/v2/executions")).status_code == 404
    admin = (await someone(admin=True)).client
    listed = (await admin.get(DELETED, params={"page_size": 100}))["workspaces"]
    found = next(each for each in listed if each["id"] == str(workspace))
    assert (found["name"], found["kept_until"] > found["deleted_at"]) == ("Gone", True)
    assert (await owner.client.http.get(DELETED, headers={"X-Workspace-Id": ""})).status_code in (403, 422)
    await admin.post(f"{DELETED}/{workspace}/restore")
    for each in (owner, member):
        assert (await each.client.http.get("/api/v2/executions")).status_code == 200
    assert (await admin.http.post(f"{DELETED}/{workspace}/restore")).status_code == 404
    assert await purge(client, install, timedelta(0)) >= 0
    assert (await owner.client.http.get("/api/v2/executions")).status_code == 200


async def test_of_two_processes_one_removes(client: Client, owner: Someone, install: Path) -> None:
    await delete(owner)
    other = await asyncpg.connect(client.urls.owner)
    try:
        await other.execute("SELECT pg_advisory_lock($1)", 0x7472_6561_646C_6502)
        assert await purge(client, install, timedelta(0)) == 0
    finally:
        await other.close()
    assert await purge(client, install, timedelta(0)) >= 1
