"""Agents of the library over HTTP."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from tests.main.installs import ASKING, GREETING, NUMBER, OUTPUT, agent
from tests.web.conftest import Client, MakeSomeone
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId
from treadle.features.accounts.access import Role
from treadle.features.library.entries import Entry, LastRun, RunCounts, Settings
from treadle.web.library.bodies import AgentSettings, LastRunBody, LibraryAgentBody, RunCountsBody

AGENTS = "/api/v2/library/agents"


async def saved(client: Client, document: dict[str, Any] = GREETING, **keys: Any) -> Any:
    """A new agent: its entry in the library."""
    graph = (await client.post("/api/v2/builder/graphs", {**document, "id": str(uuid4()), **keys}, status=201))["id"]
    return await client.get(f"{AGENTS}/by-graph/{graph}")


async def listed(client: Client, **query: Any) -> list[str]:
    """The ids of a list."""
    return [each["id"] for each in (await client.get(AGENTS, params={"page_size": 100, **query}))["agents"]]


async def patched(client: Client, id: str, body: Any, *, status: int = 200) -> Any:
    answer = await client.http.patch(f"{AGENTS}/{id}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("struct", "body"),
    [(Entry, LibraryAgentBody), (LastRun, LastRunBody), (RunCounts, RunCountsBody), (Settings, AgentSettings)],
)
def test_what_is_sent_has_the_fields_that_are_described(struct: Any, body: Any) -> None:
    assert [field.name for field in msgspec.structs.fields(struct)] == list(body.model_fields)


async def test_a_saved_agent_is_listed_with_what_its_runs_did(client: Client) -> None:
    made = await saved(client, name=f"greeting {uuid4()}")
    assert (made["status"], made["last_run"], made["is_latest_version"]) == ("NEVER_RUN", None, True)
    assert made["input_schema"]["required"] == ["who"]
    report = await client.post(f"{AGENTS}/{made['id']}/execute?wait=30", {"input_data": {"who": "Ann"}})
    assert report["outputs"] == [{"name": "greeting", "value": "Hello Ann!"}]
    (entry,) = (await client.get(AGENTS, params={"search_term": made["name"]}))["agents"]
    LibraryAgentBody.model_validate(entry)
    assert (entry["status"], entry["last_run"]["id"], entry["runs"]["completed"]) == ("COMPLETED", report["id"], 1)
    assert entry["last_run"]["ended_at"]
    detail = await client.get(f"{AGENTS}/{made['id']}")
    assert {name: detail[name] for name in entry} == entry


async def test_a_run_that_waits_for_a_person_makes_its_agent_wait(client: Client) -> None:
    made = await saved(client, ASKING)
    run = (await client.post(f"{AGENTS}/{made['id']}/execute?wait=10", {}, status=202))["execution_id"]
    entry = await client.get(f"{AGENTS}/{made['id']}")
    assert (entry["status"], entry["runs"]["in_review"], entry["last_run"]["status"]) == ("REVIEW", 1, "REVIEW")
    assert made["id"] in await listed(client, status="REVIEW")
    await client.post(f"/api/v2/executions/{run}/stop", {}, status=202)
    await client.ended(run)
    assert (await client.get(f"{AGENTS}/{made['id']}"))["status"] == "TERMINATED"


async def test_lists_are_paged_and_filtered(client: Client) -> None:
    mark = str(uuid4())
    made = [(await saved(client, name=f"{mark} {letter}"))["id"] for letter in "bca"]
    page = await client.get(AGENTS, params={"search_term": mark, "sort_by": "name", "page_size": 2, "page": 2})
    assert [each["id"] for each in page["agents"]] == [made[1]]
    assert page["pagination"] == {"total": 3, "page": 2, "page_size": 2, "total_pages": 2, "total_is_exact": True}
    assert (await client.get(AGENTS))["pagination"]["page_size"] == 15
    await patched(client, made[0], {"is_archived": True})
    assert made[0] not in await listed(client, search_term=mark)
    assert await listed(client, search_term=mark, archived=True) == [made[0]]
    assert (await client.http.get(AGENTS, params={"sort_by": "colour"})).status_code == 422


async def test_favorites_are_liked_in_two_ways(client: Client) -> None:
    id = (await saved(client))["id"]
    answer = await client.http.put(f"{AGENTS}/{id}/favorite")
    assert answer.json() == {"ok": True}
    assert id in [each["id"] for each in (await client.get(f"{AGENTS}/favorites"))["agents"]]
    assert (await patched(client, id, {"is_favorite": False}))["is_favorite"] is False
    await client.http.put(f"{AGENTS}/{id}/favorite")
    await client.http.delete(f"{AGENTS}/{id}/favorite")
    assert id not in [each["id"] for each in (await client.get(f"{AGENTS}/favorites"))["agents"]]


def _times(factor: int) -> dict[str, Any]:
    calculator = "b1ab9b19-67a6-406d-abf5-2dba76d00c79"
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "in": (NUMBER, {"name": "value"}),
        "x": (calculator, {"operation": "Multiply", "b": factor}),
        "out": (OUTPUT, {"name": "result"}),
    }
    return agent(nodes, [("in", "result", "x", "a"), ("x", "result", "out", "value")], name=f"times {factor}")


async def test_a_pinned_version_is_what_runs(client: Client) -> None:
    entry = await saved(client, _times(2))
    graph = entry["graph_id"]
    body = {"input_data": {"value": 10}}

    async def result(path: str) -> Any:
        return (await client.post(f"{path}/execute?wait=30", body))["outputs"][0]["value"]

    pinned = await patched(client, entry["id"], {"auto_update": False})
    assert (pinned["auto_update"], pinned["graph_version"]) == (False, 1)
    await client.http.put(f"/api/v2/builder/graphs/{graph}", json={**_times(3), "id": graph})
    entry = await client.get(f"{AGENTS}/{entry['id']}")
    assert (entry["name"], entry["is_latest_version"], entry["newest_version"]) == ("times 2", False, 2)
    for path in (f"{AGENTS}/{entry['id']}", f"/api/v2/builder/graphs/{graph}"):
        assert await result(path) == 20
    assert (await patched(client, entry["id"], {"graph_version": 2}))["name"] == "times 3"
    assert await result(f"{AGENTS}/{entry['id']}") == 30
    assert (await patched(client, entry["id"], {"auto_update": True}))["auto_update"] is True
    await patched(client, entry["id"], {"auto_update": True, "graph_version": 1}, status=422)
    await patched(client, entry["id"], {"graph_version": 7}, status=404)
    told = await client.get(f"{AGENTS}/by-graph/{graph}?version=1")
    assert (told["graph_version"], told["is_latest_version"]) == (1, False)
    assert (await client.http.get(f"{AGENTS}/by-graph/{graph}?version=7")).status_code == 404


async def test_the_agents_settings_hold_for_every_start_that_says_nothing_else(client: Client) -> None:
    entry = await saved(client, ASKING)
    settings = await patched(client, entry["id"], {"settings": {"safe_mode": False, "timezone": "Europe/Berlin"}})
    assert settings["settings"] == {"safe_mode": False, "ask_before_sensitive": None, "timezone": "Europe/Berlin"}
    for path in (f"{AGENTS}/{entry['id']}", f"/api/v2/builder/graphs/{entry['graph_id']}"):
        report = await client.post(f"{path}/execute?wait=30", {})
        assert report["outputs"] == [{"name": "approved", "value": "a draft"}], "nobody was asked"
        row = await client.site.executions.get(LOCAL_WORKSPACE, ExecutionId(UUID(report["id"])))
        assert row.settings["timezone"] == "Europe/Berlin"
    asked = await client.post(f"{AGENTS}/{entry['id']}/execute?wait=10", {"safe_mode": True}, status=202)
    assert asked["status"] == "REVIEW"
    back = await patched(client, entry["id"], {"settings": {"safe_mode": None}})
    assert (back["settings"]["safe_mode"], back["settings"]["timezone"]) == (None, "Europe/Berlin")
    await patched(client, entry["id"], {"settings": {"timezone": "Mars/Olympus"}}, status=422)
    await patched(client, entry["id"], {"settings": {"colour": "red"}}, status=422)


async def test_a_fork_is_made_once_for_a_key(client: Client) -> None:
    entry = await saved(client, name="Origin")
    headers = {"Idempotency-Key": str(uuid4())}
    path = f"{AGENTS}/{entry['id']}/fork"
    copy = await client.post(path, status=201, headers=headers)
    assert (copy["name"], copy["forked_from"]) == (
        "Origin (copy)",
        {"graph_id": entry["graph_id"], "graph_version": 1},
    )
    assert copy["graph_id"] != entry["graph_id"]
    assert await client.post(path, status=201, headers=headers) == copy
    report = await client.post(f"{AGENTS}/{copy['id']}/execute?wait=30", {"input_data": {"who": "Ann"}})
    assert report["status"] == "COMPLETED"


async def test_a_removed_agent_is_gone_until_it_is_added(client: Client) -> None:
    entry = await saved(client)
    assert (await client.http.delete(f"{AGENTS}/{entry['id']}")).json() == {"ok": True}
    assert (await client.http.get(f"{AGENTS}/{entry['id']}")).status_code == 404
    assert (await client.http.delete(f"{AGENTS}/{entry['id']}")).status_code == 404
    added = await client.post(AGENTS, {"agent_id": entry["graph_id"], "agent_version": 1}, status=201)
    assert (added["id"], added["auto_update"]) == (entry["id"], False)
    await client.post(AGENTS, {"agent_id": "nothing"}, status=404)


async def test_agents_are_filed_and_found_in_their_folder(client: Client) -> None:
    folder = (await client.post("/api/v2/library/folders", {"name": str(uuid4())}, status=201))["id"]
    ids = [(await saved(client))["id"] for _ in range(3)]
    assert await client.post(f"{AGENTS}/move", {"agent_ids": ids[:2], "folder_id": folder}) == {"ok": True}
    assert (await patched(client, ids[2], {"folder_id": folder}))["folder_id"] == folder
    assert sorted(await listed(client, folder_id=folder)) == sorted(ids)
    assert (await patched(client, ids[2], {"folder_id": None}))["folder_id"] is None
    assert ids[2] in await listed(client, folder_id="root")
    assert (await client.get(f"/api/v2/library/folders/{folder}"))["agents"] == 2
    await client.post(f"{AGENTS}/move", {"agent_ids": [ids[0]], "folder_id": str(uuid4())}, status=404)
    await client.post(f"{AGENTS}/move", {"agent_ids": [str(uuid4())], "folder_id": None}, status=404)


async def test_put_and_patch_are_alike_and_refuse_what_is_not_theirs_to_say(client: Client) -> None:
    id = (await saved(client))["id"]
    answer = await client.http.put(f"{AGENTS}/{id}", json={"is_archived": True})
    assert answer.json()["is_archived"] is True
    for field in ("id", "workspace_id", "graph_id", "name", "status", "created_at"):
        await patched(client, id, {field: "x"}, status=422)


async def test_each_member_has_favorites_of_their_own_whatever_their_part(client: Client, someone: MakeSomeone) -> None:
    id = (await saved(client))["id"]
    viewer = (await someone(Role.VIEWER)).client
    assert (await viewer.http.put(f"{AGENTS}/{id}/favorite")).status_code == 200
    assert (await viewer.get(f"{AGENTS}/{id}"))["is_favorite"] is True
    assert (await client.get(f"{AGENTS}/{id}"))["is_favorite"] is False
    assert (await viewer.http.patch(f"{AGENTS}/{id}", json={"is_favorite": False})).status_code == 403


async def test_two_workspaces_have_two_libraries(client: Client, someone: MakeSomeone) -> None:
    entry = await saved(client)
    other = (await someone()).client
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"is_archived": True}),
        ("DELETE", "", None),
        ("PUT", "/favorite", None),
        ("POST", "/fork", None),
        ("POST", "/execute", {}),
        ("GET", "/export", None),
    ):
        answer = await other.http.request(method, f"{AGENTS}/{entry['id']}{path}", json=body)
        assert answer.status_code == 404, (method, path, answer.text)
    assert (await other.get(AGENTS))["agents"] == []
