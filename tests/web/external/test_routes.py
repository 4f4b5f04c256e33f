"""What programs do with a key: agents are found, run, waited for and stopped."""

from typing import Any
from uuid import uuid4

import httpx

from tests.main.installs import CALCULATOR, FAILING, GREETING, WAITING
from tests.web.conftest import Client, MakeSomeone
from treadle.features.accounts.access import Role, Scope

ROOT = "/external-api/v1"


async def _program(client: Client, *scopes: Scope) -> httpx.AsyncClient:
    body = {"name": "program", "scopes": [str(each) for each in scopes or tuple(Scope)]}
    secret = (await client.post("/api/v2/api-keys", body, status=201))["secret"]
    transport = client.http._transport
    return httpx.AsyncClient(transport=transport, base_url=client.http.base_url, headers={"X-API-Key": secret})


async def _graph(client: Client, document: dict[str, Any]) -> str:
    id: str = (await client.post("/api/v2/builder/graphs", document, status=201))["id"]
    return id


async def test_an_agent_is_run_and_its_outputs_come_back(client: Client) -> None:
    graph = await _graph(client, GREETING)
    program = await _program(client)
    for body in ({"input_data": {"who": "Ann"}}, {"node_input": {"who": "Ann"}}):
        answer = await program.post(f"{ROOT}/graphs/{graph}/execute/1?wait=30", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"] == {"greeting": ["Hello Ann!"]}
        id = answer.json()["execution_id"]
        assert (await program.get(f"{ROOT}/graphs/{graph}/executions/{id}/results")).json() == answer.json()
        assert (await program.get(f"{ROOT}/graphs/other/executions/{id}/results")).status_code == 404


async def test_a_run_that_fails_has_no_outputs(client: Client) -> None:
    graph = await _graph(client, FAILING)
    program = await _program(client)
    report = (await program.post(f"{ROOT}/graphs/{graph}/execute/1?wait=30", json={"input_data": {"of": -1}})).json()
    assert (report["status"], report["outputs"]) == ("FAILED", None)
    assert report["error"]


async def test_a_run_that_takes_long_is_stopped(client: Client) -> None:
    graph = await _graph(client, WAITING)
    program = await _program(client)
    started = await program.post(f"{ROOT}/graphs/{graph}/execute/1", json={})
    assert started.status_code == 202
    id = started.json()["execution_id"]
    assert (await program.post(f"{ROOT}/graphs/{graph}/executions/{id}/stop")).status_code == 202
    assert (await client.ended(id))["status"] == "TERMINATED"


async def test_an_idempotency_key_starts_one_run(client: Client) -> None:
    graph = await _graph(client, GREETING)
    program = await _program(client)
    path, headers = f"{ROOT}/graphs/{graph}/execute/1?wait=30", {"Idempotency-Key": str(uuid4())}
    first, second = [await program.post(path, json={"input_data": {"who": "A"}}, headers=headers) for _ in range(2)]
    assert first.json()["execution_id"] == second.json()["execution_id"]


async def test_tools_find_and_run_agents(client: Client) -> None:
    graph = await _graph(client, {**GREETING, "name": "Welcomes visitors warmly"})
    program = await _program(client, Scope.USE_TOOLS)
    found = (await program.post(f"{ROOT}/tools/find-agent", json={"query": "visitors"})).json()["graphs"]
    assert graph in [each["id"] for each in found]
    body = {"agent_id": graph, "inputs": {"who": "Bob"}}
    assert (await program.post(f"{ROOT}/tools/run-agent?wait=30", json=body)).json()["outputs"]["greeting"]
    assert (await program.post(f"{ROOT}/graphs/{graph}/execute/1", json={})).status_code == 403


async def test_a_viewers_key_runs_nothing(client: Client, someone: MakeSomeone) -> None:
    graph = await _graph(client, GREETING)
    viewer = await someone(Role.VIEWER)
    program = await _program(viewer.client)
    assert (await program.get(f"{ROOT}/graphs/{graph}")).status_code == 200
    answer = await program.post(f"{ROOT}/graphs/{graph}/execute/1", json={"input_data": {"who": "A"}})
    assert answer.status_code == 403


async def test_keys_are_counted_by_person(client: Client) -> None:
    program = await _program(client, Scope.IDENTITY)
    answer = await program.get(f"{ROOT}/me")
    assert int(answer.headers["x-ratelimit-limit"]) == 60
    assert int(answer.headers["x-ratelimit-remaining"]) < 60
    other = await _program(client, Scope.IDENTITY)
    again = await other.get(f"{ROOT}/me")
    # A bucket of its own would be full but for this one request.
    assert int(again.headers["x-ratelimit-remaining"]) < 59


async def test_one_block_is_run_by_itself(client: Client) -> None:
    program = await _program(client, Scope.EXECUTE_BLOCK)
    body = {"input_data": {"operation": "Add", "a": 2, "b": 3}}
    answer = await program.post(f"{ROOT}/blocks/{CALCULATOR}/execute", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"]["result"] == [5]
    assert (await program.post(f"{ROOT}/blocks/{uuid4()}/execute", json={})).status_code == 404
    other = await _program(client, Scope.READ_BLOCK)
    assert (await other.post(f"{ROOT}/blocks/{CALCULATOR}/execute", json=body)).status_code == 403
