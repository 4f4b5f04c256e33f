"""Presets over HTTP: kept, changed, run; secrets go in and never come out."""

import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.main.installs import GREETING, INPUT, NUMBER, OUTPUT, TEMPLATE, agent
from tests.web.conftest import Client
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId

PRESETS = "/api/v2/library/presets"
CANARY = "canary-5517-do-not-tell"
SECRET = agent(
    {
        "key": (INPUT, {"name": "key", "secret": True}),
        "pin": (NUMBER, {"name": "pin", "secret": True, "value": 1}),
        "who": (INPUT, {"name": "who", "value": "nobody"}),
        "text": (TEMPLATE, {"format": "{{who}} {{pin}} {{key | length}}"}),
        "out": (OUTPUT, {"name": "text"}),
    },
    [
        ("key", "result", "text", "values_#_key"),
        ("pin", "result", "text", "values_#_pin"),
        ("who", "result", "text", "values_#_who"),
        ("text", "output", "out", "value"),
    ],
    name="secretive",
)


async def _graph(client: Client, document: dict[str, Any] = GREETING) -> str:
    body = {**document, "id": str(uuid4())}
    made: str = (await client.post("/api/v2/builder/graphs", body, status=201))["id"]
    return made


async def _patched(client: Client, id: str, body: Any, *, status: int = 200) -> Any:
    answer = await client.http.patch(f"{PRESETS}/{id}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def _said(client: Client, id: str, **body: Any) -> Any:
    report = await client.post(f"{PRESETS}/{id}/execute?wait=30", body)
    return report["outputs"][0]["value"]


async def test_a_preset_is_kept_listed_changed_run_and_deleted(client: Client) -> None:
    graph = await _graph(client)
    body = {"graph_id": graph, "name": " For Ann ", "description": "hers", "inputs": {"who": "Ann"}}
    made = await client.post(PRESETS, body, status=201)
    assert (made["name"], made["graph_version"], made["inputs"]) == ("For Ann", None, {"who": "Ann"})
    assert await client.get(f"{PRESETS}/{made['id']}") == made
    assert (await client.get(PRESETS, params={"graph_id": graph}))["presets"] == [made]
    assert await _said(client, made["id"]) == "Hello Ann!"
    assert await _said(client, made["id"], inputs={"who": "Bob"}) == "Hello Bob!"
    changed = await _patched(client, made["id"], {"name": "For Cy", "inputs": {"who": "Cy"}})
    assert (changed["description"], await _said(client, made["id"])) == ("hers", "Hello Cy!")
    assert (await client.http.delete(f"{PRESETS}/{made['id']}")).json() == {"ok": True}
    assert (await client.http.get(f"{PRESETS}/{made['id']}")).status_code == 404
    assert (await client.get(PRESETS, params={"graph_id": graph}))["pagination"]["total"] == 0
    await client.post(f"{PRESETS}/{made['id']}/execute", {}, status=404)


async def test_some_inputs_may_be_left_for_later_but_none_may_be_wrong(client: Client) -> None:
    graph = await _graph(client)
    made = await client.post(PRESETS, {"graph_id": graph, "name": "empty"}, status=201)
    error = (await client.post(f"{PRESETS}/{made['id']}/execute", {}, status=422))["error"]["details"]
    assert error["reason"] == "bad_run_inputs"
    assert await _said(client, made["id"], inputs={"who": "Ann"}) == "Hello Ann!"
    for inputs in ({"whom": "Ann"}, {"who": "Ann", "x": 1}):
        await client.post(PRESETS, {"graph_id": graph, "name": "x", "inputs": inputs}, status=422)
        await _patched(client, made["id"], {"inputs": inputs}, status=422)
    await client.post(PRESETS, {"graph_id": "nothing", "name": "x"}, status=404)
    await client.post(PRESETS, {"graph_id": graph, "graph_version": 9, "name": "x"}, status=404)


async def test_a_preset_follows_the_agent_or_stays_with_a_version(client: Client) -> None:
    graph = await _graph(client)
    free = await client.post(PRESETS, {"graph_id": graph, "name": "f", "inputs": {"who": "Ann"}}, status=201)
    body = {"graph_id": graph, "graph_version": 1, "name": "p", "inputs": {"who": "Ann"}}
    pinned = await client.post(PRESETS, body, status=201)
    document = json.loads(json.dumps(GREETING).replace("Hello", "Bye"))
    await client.http.put(f"/api/v2/builder/graphs/{graph}", json={**document, "id": graph})
    assert (await _said(client, free["id"]), await _said(client, pinned["id"])) == ("Bye Ann!", "Hello Ann!")
    assert (await _patched(client, pinned["id"], {"graph_version": None}))["graph_version"] is None
    assert await _said(client, pinned["id"]) == "Bye Ann!"


async def test_a_run_becomes_a_preset(client: Client) -> None:
    graph = await _graph(client)
    execute = f"/api/v2/builder/graphs/{graph}/execute?wait=30"
    run = (await client.post(execute, {"input_data": {"who": "Ann"}}))["id"]
    made = await client.post(PRESETS, {"execution_id": run, "name": "again"}, status=201)
    assert (made["graph_id"], made["inputs"]) == (graph, {"who": "Ann"})
    assert await _said(client, made["id"]) == "Hello Ann!"
    await client.post(PRESETS, {"execution_id": str(uuid4()), "name": "x"}, status=404)


async def _everything_kept(client: Client) -> str:
    connection = await asyncpg.connect(client.urls.owner)
    try:
        return str(await connection.fetch("SELECT * FROM library_presets")) + str(
            await connection.fetch("SELECT encode(body, 'escape') FROM idempotency_keys")
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("from_run", [False, True])
async def test_secrets_go_in_and_never_come_out(client: Client, from_run: bool) -> None:
    graph = await _graph(client, SECRET)
    inputs = {"key": CANARY, "pin": 551755, "who": "Ann"}
    headers = {"Idempotency-Key": str(uuid4())}
    if from_run:
        execute = f"/api/v2/builder/graphs/{graph}/execute?wait=30"
        run = (await client.post(execute, {"input_data": inputs}))["id"]
        body: dict[str, Any] = {"execution_id": run, "name": "secret"}
    else:
        body = {"graph_id": graph, "name": "secret", "inputs": inputs}
    made = await client.post(PRESETS, body, status=201, headers=headers)
    assert made["inputs"] == {"who": "Ann", "key": "***", "pin": "***"}
    kept = await _everything_kept(client)
    assert CANARY not in kept
    assert from_run or "551755" not in kept
    assert await _said(client, made["id"]) == f"Ann 551755 {len(CANARY)}"
    shown = {**made["inputs"], "who": "Bob"}
    assert (await _patched(client, made["id"], {"inputs": shown}))["inputs"] == shown
    assert await _said(client, made["id"]) == f"Bob 551755 {len(CANARY)}"
    assert await _said(client, made["id"], inputs={"key": "***", "pin": 7}) == f"Bob 7 {len(CANARY)}"
    listed = (await client.get(PRESETS, params={"graph_id": graph}))["presets"]
    assert CANARY not in str(listed) and "treadle-secret" not in str(listed)
    fewer = await _patched(client, made["id"], {"inputs": {"key": "other"}})
    assert fewer["inputs"] == {"key": "***"}
    assert await _said(client, made["id"]) == "nobody 1 5"


async def test_a_preset_is_run_once_for_a_key_with_the_settings_that_are_given(client: Client) -> None:
    graph = await _graph(client)
    made = await client.post(PRESETS, {"graph_id": graph, "name": "p", "inputs": {"who": "Ann"}}, status=201)
    path = f"{PRESETS}/{made['id']}/execute"
    headers = {"Idempotency-Key": str(uuid4())}
    runs = [await client.post(path, {"timezone": "Asia/Tokyo"}, status=202, headers=headers) for _ in range(2)]
    assert runs[0]["execution_id"] == runs[1]["execution_id"]
    row = await client.site.executions.get(LOCAL_WORKSPACE, ExecutionId(UUID(runs[0]["execution_id"])))
    assert row.settings["timezone"] == "Asia/Tokyo"
    other = await client.http.post(path, json={"inputs": {"who": "Bob"}}, headers=headers)
    assert other.status_code in (409, 422)


async def test_a_preset_names_credentials_that_the_agent_takes_when_it_runs(client: Client) -> None:
    graph = await _graph(client)
    choice = {"id": "x", "provider": "openai", "type": "api_key"}
    body = {"graph_id": graph, "name": "c", "inputs": {"who": "Ann"}, "credentials": {"openai": choice}}
    made = await client.post(PRESETS, body, status=201)
    assert made["credentials"] == {"openai": {**choice, "title": None}}
    error = (await client.post(f"{PRESETS}/{made['id']}/execute", {}, status=422))["error"]
    assert "openai" in error["message"]
    await _patched(client, made["id"], {"credentials": {}})
    assert await _said(client, made["id"]) == "Hello Ann!"
