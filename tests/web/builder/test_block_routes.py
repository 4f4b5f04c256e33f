"""The blocks of an install over HTTP, and running one by itself."""

import json
from typing import Any
from uuid import UUID

import pytest

from tests.main.installs import AGENT, CALCULATOR, GREETING, INPUT, OUTPUT, REVIEW, TEMPLATE, WAITING
from tests.web.conftest import Client
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId

BLOCKS = "/api/v2/builder/blocks"
NOTE = "cc10ff7b-7753-4ff2-9af6-9399b1a7eddc"


async def names(client: Client, **query: str) -> set[str]:
    found = await client.get(BLOCKS, params=query)
    assert found["total"] == len(found["blocks"])
    return {each["name"] for each in found["blocks"]}


async def test_blocks_come_with_schemas_packed_and_only_when_they_have_changed(client: Client) -> None:
    answer = await client.http.get(BLOCKS)
    assert answer.headers["content-encoding"] == "gzip"
    blocks = answer.json()["blocks"]
    assert len(blocks) == answer.json()["total"] == len(client.site.registry)
    assert all(each["input_schema"]["type"] == "object" for each in blocks)
    plain = await client.http.get(BLOCKS, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == answer.json()
    again = await client.http.get(BLOCKS, headers={"If-None-Match": f'"x", W/{answer.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_whole_catalogue_is_small(client: Client) -> None:
    catalogue = await client.site.catalogue.get()
    assert len(catalogue.packed) < 200_000 * len(client.site.registry) / 466, "with all blocks of the reference too"


async def test_blocks_are_filtered_by_what_they_are_for(client: Client) -> None:
    everything = await names(client)
    assert await names(client, category="text") == await names(client, category="TEXT") < everything
    assert {"FillTextTemplateBlock"} < await names(client, category="TEXT")
    github = await names(client, provider="github")
    assert github and all(each.startswith("Github") for each in github)
    assert "AgentInputBlock" in await names(client, type="input")
    assert await names(client, type="output") == {"AgentOutputBlock"}
    assert await names(client, type="note") & await names(client, type="action") == set()
    assert "AITextGeneratorBlock" in await names(client, type="ai") & await names(client, type="action")
    assert await names(client, search="github pull request", category="developer_tools") < github
    assert await names(client, search="no such words") == set()
    assert (await client.http.get(BLOCKS, params={"type": "nothing"})).status_code == 422


async def test_a_block_comes_with_all_that_its_form_needs(client: Client) -> None:
    block = next(each for each in client.site.registry if each.name == "AITextGeneratorBlock")
    body = await client.get(f"{BLOCKS}/{block.id}")
    assert body["input_order"] == list(block.inputs.model_fields)
    prompt = body["input_schema"]["properties"]["prompt"]
    assert {"title", "description", "placeholder", "advanced", "secret", "type"} <= prompt.keys()
    assert "openai" in body["providers"]
    assert (body["kind"], body["disabled"]) == (block.kind.value, "")
    missing = await client.http.get(f"{BLOCKS}/no-such-block")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NOT_FOUND")


async def run(client: Client, block: str, status: int = 200, wait: float = 30, **body: Any) -> Any:
    return await client.post(f"{BLOCKS}/{block}/execute?wait={wait}", body, status=status)


async def test_a_block_runs_by_itself_and_is_a_run_like_others(client: Client) -> None:
    report = await run(client, TEMPLATE, input_data={"format": "Hello {{name}}!", "values_#_name": "Ann"})
    assert (report["status"], report["outputs"], report["error"]) == ("COMPLETED", {"output": ["Hello Ann!"]}, None)
    detail = await client.get(f"/api/v2/executions/{report['execution_id']}")
    assert (detail["graph_id"], detail["outputs"]) == (f"block:{TEMPLATE}", [{"name": "output", "value": "Hello Ann!"}])
    firings = (await client.get(f"/api/v2/executions/{report['execution_id']}/firings"))["firings"]
    assert [each["block_id"] for each in firings] == [TEMPLATE, OUTPUT]
    listed = {each["id"]: each for each in (await client.get("/api/v2/executions"))["executions"]}
    assert listed[report["execution_id"]]["graph_name"] == "Fill Text Template"
    ours = {each["id"] for each in (await client.get("/api/v2/builder/graphs?page_size=100"))["graphs"]}
    assert not any(each.startswith("block:") for each in ours), "no agent was made"


async def test_every_output_is_told_by_pin_in_order(client: Client) -> None:
    each = next(each for each in client.site.registry if each.name == "StepThroughItemsBlock")
    report = await run(client, each.id, input_data={"items": [5, 6]})
    assert report["outputs"] == {"item": [5, 6], "key": [0, 1]}


async def test_a_block_that_fails_says_why(client: Client) -> None:
    report = await run(client, CALCULATOR, input_data={"operation": "Power", "a": -1, "b": 0.5})
    assert (report["status"], report["outputs"]) == ("FAILED", {})
    assert report["error"]


async def test_bad_inputs_start_nothing(client: Client) -> None:
    before = (await client.get("/api/v2/executions?limit=1"))["executions"]
    for inputs, pin, place in (
        ({"operation": "Power", "a": 1}, "b", "pin"),
        ({"operation": "Power", "a": "x", "b": 1}, "a", "pin"),
        ({"operation": "Power", "a": 1, "b": 1, "c": 1}, "c", "place"),
    ):
        error = (await run(client, CALCULATOR, 422, input_data=inputs))["error"]
        assert pin in [each[place] for each in error["details"]["problems"]], error
    chosen = {"a": {"id": "x", "provider": "openai", "type": "api_key"}}
    refused = await run(client, CALCULATOR, 422, input_data={"operation": "Add", "a": 1, "b": 1}, credentials=chosen)
    assert "takes no credentials" in refused["error"]["message"]
    await run(client, CALCULATOR, 422, input_data={}, workspace_id="x")
    for unknown in ("no-such-block", NOTE):
        await run(client, unknown, 404)
    assert (await client.get("/api/v2/executions?limit=1"))["executions"] == before


async def test_an_idempotency_key_runs_a_block_once(client: Client) -> None:
    body = {"input_data": {"format": "x", "values": {}}}
    headers = {"Idempotency-Key": "a block"}
    first, second = [await client.post(f"{BLOCKS}/{TEMPLATE}/execute", body, headers=headers) for _ in range(2)]
    assert first["execution_id"] == second["execution_id"]


async def test_a_block_that_takes_longer_is_told_by_its_id(client: Client) -> None:
    timer, constants = WAITING["nodes"][0]["block_id"], WAITING["nodes"][0]["input_default"]
    started = await run(client, timer, 202, wait=0.05, input_data=constants)
    await client.post(f"/api/v2/executions/{started['execution_id']}/stop", status=202)
    await client.site.worker.finished(LOCAL_WORKSPACE, ExecutionId(UUID(started["execution_id"])))
    asking = await run(client, REVIEW, 202, input_data={"name": "Is it good?", "data": "a draft"})
    assert asking["status"] == "REVIEW"


async def test_an_agent_runs_as_a_block_too(client: Client) -> None:
    graph = await client.post("/api/v2/builder/graphs", GREETING, status=201)
    inputs = {"graph_id": graph["id"], "graph_version": graph["version"], "who": "Ann"}
    report = await run(client, AGENT, input_data=inputs)
    assert report["status"] == "COMPLETED"
    assert report["outputs"] == {"greeting": ["Hello Ann!"]}
    assert (await run(client, AGENT, 422, input_data={**inputs, "graph_id": "nowhere"}))["error"]


async def test_a_secret_that_a_block_is_given_is_nowhere_in_the_open(client: Client) -> None:
    report = await run(client, INPUT, input_data={"name": "key", "value": "sk-canary-77", "secret": True})
    assert report["status"] == "COMPLETED"
    told = [report]
    for path in ("", "/firings", "/events"):
        told.append(await client.get(f"/api/v2/executions/{report['execution_id']}{path}"))
    assert "sk-canary-77" not in json.dumps(told)


@pytest.mark.parametrize("type", ["input", "output", "action", "trigger", "ai", "agent", "human", "note"])
async def test_every_type_can_be_asked_for(client: Client, type: str) -> None:
    assert await names(client, type=type) <= {each.name for each in client.site.registry}
