"""What the routes do."""

import json
from typing import Any

import pytest

from tests.main.installs import ASKING, CALCULATOR, FAILING, GREETING, OUTPUT, WAITING, agent
from tests.web.conftest import Client

_UNKNOWN = "01234567-89ab-7def-8123-456789abcdef"


async def test_health_says_whether_the_database_answers(client: Client) -> None:
    assert await client.get("/health") == {"status": "ok", "version": client.site.version, "database": True}


async def test_an_agent_is_saved_found_and_given_out(client: Client) -> None:
    made = await client.post("/api/v2/builder/graphs", GREETING, status=201)
    assert made["input_schema"]["required"] == ["who"]
    assert list(made["output_schema"]["properties"]) == ["greeting"]
    assert made["problems"] == []
    again = await client.post("/api/v2/builder/graphs", GREETING, status=201)
    assert (again["id"], again["version"]) == (made["id"], made["version"])
    assert await client.get(f"/api/v2/builder/graphs/{made['id']}?version={made['version']}") == again
    assert made["id"] in [each["id"] for each in (await client.get("/api/v2/builder/graphs?page_size=100"))["graphs"]]
    exported = await client.get(f"/api/v2/builder/graphs/{made['id']}/export")
    assert [node["id"] for node in exported["nodes"]] == ["who", "text", "out"]


async def test_secrets_of_an_agent_are_not_given_out(client: Client) -> None:
    secret = agent(
        {"in": ("c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", {"name": "k", "secret": True, "value": "sk-canary"})}
    )
    answer = await client.http.post("/api/v2/builder/graphs", json=secret)
    assert answer.status_code == 201
    assert "sk-canary" not in answer.text


async def test_a_bad_agent_file_is_answered_with_every_problem(client: Client) -> None:
    error = (await client.post("/api/v2/builder/graphs", {"nodes": [{}, {}]}, status=422))["error"]["details"]
    assert error["reason"] == "bad_agent_file"
    assert {each["place"] for each in error["problems"]} >= {"nodes[0].block_id", "nodes[1].block_id"}
    assert error["fix"]


async def test_a_run_that_ends_in_time_is_answered_with_its_outputs(client: Client) -> None:
    report = await client.execute(GREETING, who="Ann")
    assert report["status"] == "COMPLETED"
    assert report["outputs"] == [{"name": "greeting", "value": "Hello Ann!"}]
    detail = await client.get(f"/api/v2/executions/{report['id']}")
    assert detail["inputs"] == {"who": {"value": "Ann"}}
    assert detail["nodes"]["text"]["firings"] == 1
    firings = (await client.get(f"/api/v2/executions/{report['id']}/firings"))["firings"]
    assert [each["node"] for each in firings] == ["who", "text", "out"]
    assert firings[1]["outputs"] == [{"name": "output", "value": "Hello Ann!"}]
    assert firings[1]["causes"] == [[1, 0]]


async def test_a_run_that_takes_longer_is_answered_with_its_id(client: Client) -> None:
    started = await client.execute(WAITING, wait=0.05, status=202)
    assert started["status"] in ("RUNNING", "WAITING")
    id = started["execution_id"]
    assert await client.post(f"/api/v2/executions/{id}/stop", {"reason": "enough"}, status=202) == {"ok": True}
    assert ((run := await client.ended(id))["status"], run["error"]) == ("TERMINATED", "enough")
    late = await client.post(f"/api/v2/executions/{id}/stop", status=409)
    assert late["error"]["code"] == "CONFLICT"


async def test_an_idempotency_key_starts_one_run(client: Client) -> None:
    graph = (await client.post("/api/v2/builder/graphs", GREETING, status=201))["id"]
    path = f"/api/v2/builder/graphs/{graph}/execute"
    headers = {"Idempotency-Key": "order 66"}
    body = {"input_data": {"who": "Ann"}}
    first = await client.post(path, body, status=202, headers=headers)
    second = await client.post(path, body, status=202, headers=headers)
    assert first["execution_id"] == second["execution_id"]
    await client.post(path, body, status=422, headers={"Idempotency-Key": "x" * 201})


async def test_bad_inputs_and_foreign_fields_start_nothing(client: Client) -> None:
    graph = (await client.post("/api/v2/builder/graphs", GREETING, status=201))["id"]
    before = (await client.get("/api/v2/executions?page_size=1"))["executions"]
    path = f"/api/v2/builder/graphs/{graph}/execute"
    assert (await client.post(path, {"input_data": {}}, status=422))["error"]["details"]["problems"][0][
        "place"
    ] == "who"
    for field in ("user_id", "workspace_id", "id", "created_at", "credits"):
        body = {"input_data": {"who": "Ann"}, field: "x"}
        assert (await client.post(path, body, status=422))["error"]["code"] == "VALIDATION_ERROR"
    assert (await client.get("/api/v2/executions?page_size=1"))["executions"] == before


async def test_the_list_of_runs_goes_on_where_it_stopped(client: Client) -> None:
    ids = [(await client.execute(GREETING, who=str(number)))["id"] for number in range(3)]
    first = await client.get("/api/v2/executions?page_size=2")
    assert [each["id"] for each in first["executions"]] == [ids[2], ids[1]]
    rest = await client.get(f"/api/v2/executions?page_size=1&before={first['next_before']}")
    assert [each["id"] for each in rest["executions"]] == [ids[0]]
    for limit in (-5, 0, 10**6):
        assert 1 <= len((await client.get(f"/api/v2/executions?page_size={limit}"))["executions"]) <= 100
    failed = await client.execute(FAILING, of=-1)
    listed = await client.get("/api/v2/executions?page_size=1")
    assert listed["executions"][0]["id"] == failed["id"]


async def test_events_are_numbered_without_gaps_and_follow_a_number(client: Client) -> None:
    id = (await client.execute(GREETING, who="Ann"))["id"]
    everything = await client.get(f"/api/v2/executions/{id}/events")
    numbers = [each["number"] for each in everything["events"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert everything["events"][0]["kind"] == "begin"
    assert everything["events"][-1]["kind"] == "close"
    assert everything["status"] == "COMPLETED"
    page = await client.get(f"/api/v2/executions/{id}/events?after=2&limit=1")
    assert page["events"] == everything["events"][2:3]


async def test_a_review_is_listed_decided_once_and_gone(client: Client) -> None:
    id = (await client.execute(ASKING, status=202))["execution_id"]
    (review,) = [each for each in (await client.get("/api/v2/reviews"))["reviews"] if each["root_id"] == id]
    assert (review["firing"], review["data"], review["message"], review["editable"]) == (
        2,
        "a draft",
        "Is this good?",
        True,
    )
    decision = {"approved": True, "data": "better"}
    await client.post(f"/api/v2/executions/{id}/reviews/2", decision, status=202)
    assert (await client.ended(id))["outputs"] == [{"name": "approved", "value": "better"}]
    assert id not in [each["root_id"] for each in (await client.get("/api/v2/reviews"))["reviews"]]
    await client.post(f"/api/v2/executions/{id}/reviews/2", decision, status=202)
    await client.post(f"/api/v2/executions/{id}/reviews/2", {"approved": False}, status=409)
    (asked,) = (await client.get(f"/api/v2/executions/{id}/reviews"))["reviews"]
    assert (asked["status"], asked["decided_at"] is not None) == ("APPROVED", True)


async def test_large_values_are_shown_with_their_run_and_not_in_lists(client: Client) -> None:
    large, other = "large " * 20_000, "other " * 20_000
    id = (await client.execute(ASKING, status=202, draft=large))["execution_id"]
    (listed,) = [each for each in (await client.get("/api/v2/reviews"))["reviews"] if each["root_id"] == id]
    assert listed["message"] == "Is this good?"
    assert listed["data"] == {"size": len(large) + 9, "sha256": listed["data"]["sha256"]}
    (review,) = (await client.get(f"/api/v2/executions/{id}/reviews"))["reviews"]
    assert review == {**listed, "data": large}
    await client.post(f"/api/v2/executions/{id}/reviews/2", {"approved": True, "data": other}, status=202)
    run = await client.ended(id)
    shown = run["inputs"]["draft"]["value"]
    assert shown == listed["data"]
    assert await client.get(f"/api/v2/executions/{id}/values/{shown['sha256']}") == large
    (output,) = run["outputs"]
    assert (output["name"], output["value"]["size"]) == ("approved", len(other) + 9)
    assert await client.get(f"/api/v2/executions/{id}/values/{output['value']['sha256']}") == other
    firings = (await client.get(f"/api/v2/executions/{id}/firings"))["firings"]
    assert [each["waits"][0]["payload"]["data"] for each in firings if each["waits"]] == [shown]
    assert large not in (await client.http.get(f"/api/v2/executions/{id}/events")).text
    assert large not in (await client.http.get("/api/v2/executions")).text


async def test_a_rerun_is_previewed_and_then_made(client: Client) -> None:
    id = (await client.execute(GREETING, who="Ann"))["id"]
    path = f"/api/v2/executions/{id}/rerun"
    preview = await client.post(path, {"firing": 2, "preview": True}, status=202)
    assert preview == {"execution_id": None, "kept": 1, "repeats": [], "credits": 0, "tokens": 0}
    made = await client.post(path, {"firing": 2, "edits": {"values_#_name": "Bob"}}, status=202)
    run = await client.ended(made["execution_id"])
    assert (run["rerun_of"], run["outputs"][0]["value"]) == (id, "Hello Bob!")
    await client.post(path, {"firing": 50}, status=422)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/api/v2/executions/{_UNKNOWN}", None),
        ("GET", f"/api/v2/executions/{_UNKNOWN}/firings", None),
        ("GET", f"/api/v2/executions/{_UNKNOWN}/events", None),
        ("POST", f"/api/v2/executions/{_UNKNOWN}/stop", {}),
        ("GET", f"/api/v2/executions/{_UNKNOWN}/reviews", None),
        ("POST", f"/api/v2/executions/{_UNKNOWN}/reviews/1", {"approved": True}),
        ("POST", f"/api/v2/executions/{_UNKNOWN}/rerun", {"firing": 1}),
        ("GET", "/api/v2/builder/graphs/unknown", None),
        ("GET", "/api/v2/builder/graphs/unknown/export", None),
        ("POST", "/api/v2/builder/graphs/unknown/execute", {}),
        ("GET", "/api/v2/nowhere", None),
    ],
)
async def test_what_is_not_there_is_answered_alike(client: Client, method: str, path: str, body: Any) -> None:
    answer = await client.http.request(method, path, json=body)
    assert answer.status_code == 404, answer.text
    error = answer.json()["error"]
    assert error["code"] == "NOT_FOUND"
    assert set(error) == {"code", "message", "details"}


async def test_a_value_that_json_lacks_comes_as_text(client: Client) -> None:
    division = agent(
        {"c": (CALCULATOR, {"operation": "Divide", "a": 1, "b": 0}), "out": (OUTPUT, {"name": "result"})},
        [("c", "result", "out", "value")],
    )
    assert (await client.execute(division))["outputs"] == [{"name": "result", "value": "inf"}]


async def test_the_description_of_the_interface_is_complete(client: Client) -> None:
    document = await client.get("/openapi.json")
    seen: set[str] = set()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])
            assert operation["description"], path
            answers = [each for status, each in operation["responses"].items() if status in ("200", "201", "202")]
            assert all(each.get("content") for each in answers), path
    assert {"execute_graph", "list_blocks", "list_events", "decide_review"} <= seen
    assert "Failure" in json.dumps(document["components"]["schemas"])
