"""Agents and their versions over HTTP."""

import json
from typing import Any
from uuid import uuid4

from tests.main.installs import AGENT, ASKING, GREETING, INPUT, TEMPLATE, agent
from tests.web.conftest import Client

GRAPHS = "/api/v2/builder/graphs"


def greeting(words: str, **more: Any) -> dict[str, Any]:
    """The greeting agent with other words, and an id of its own."""
    copy: dict[str, Any] = json.loads(json.dumps({**GREETING, **more}))
    copy["nodes"][1]["input_default"]["format"] = words + " {{name}}!"
    return copy


async def saved(client: Client, document: dict[str, Any], **options: Any) -> Any:
    return await client.post(GRAPHS, {"id": str(uuid4()), **document}, status=201, **options)


async def put(client: Client, id: str, document: dict[str, Any], status: int = 200, **options: Any) -> Any:
    answer = await client.http.put(f"{GRAPHS}/{id}", json=document, **options)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_versions_are_made_listed_described_and_activated(client: Client) -> None:
    first = await saved(client, greeting("Hello"), params={"note": "the first"})
    id = first["id"]
    second = await put(client, id, greeting("Bye"))
    third = await put(client, id, greeting("Hi"), params={"activate": "false"})
    assert [each["version"] for each in (first, second, third)] == [1, 2, 3]
    assert (third["is_active"], third["active_version"], third["newest_version"]) == (False, 2, 3)
    listed = await client.get(f"{GRAPHS}/{id}/versions?page_size=2")
    assert [(each["version"], each["is_active"], each["nodes"], each["links"]) for each in listed["versions"]] == [
        (3, False, 3, 2),
        (2, True, 3, 2),
    ]
    assert listed["pagination"] == {"total": 3, "page": 1, "page_size": 2, "total_pages": 2}
    assert listed["versions"][0]["created_by"] == third["created_by"] is not None
    answer = await client.http.patch(f"{GRAPHS}/{id}/versions/3", json={"note": "shorter"})
    assert (answer.status_code, answer.json()["note"]) == (200, "shorter")
    answer = await client.http.put(f"{GRAPHS}/{id}/versions/active", json={"version": 1})
    assert (answer.status_code, answer.json()["active_version"]) == (200, 1)
    assert (await client.get(f"{GRAPHS}/{id}"))["note"] == "the first"
    missing = await client.http.put(f"{GRAPHS}/{id}/versions/active", json={"version": 9})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_the_active_version_runs_when_none_is_named(client: Client) -> None:
    id = (await saved(client, greeting("Hello")))["id"]
    await put(client, id, greeting("Bye"))
    await client.http.put(f"{GRAPHS}/{id}/versions/active", json={"version": 1})
    path = f"{GRAPHS}/{id}/execute?wait=30"
    report = await client.post(path, {"input_data": {"who": "Ann"}})
    assert report["outputs"] == [{"name": "greeting", "value": "Hello Ann!"}]
    report = await client.post(path, {"input_data": {"who": "Ann"}, "version": 2})
    assert report["outputs"] == [{"name": "greeting", "value": "Bye Ann!"}]


async def test_a_file_that_says_it_is_not_active_is_saved_as_a_draft(client: Client) -> None:
    id = (await saved(client, greeting("Hello", is_active=False)))["id"]
    assert (await client.get(f"{GRAPHS}/{id}"))["active_version"] == 1, "the only version is the active one"
    draft = await put(client, id, greeting("Bye", is_active=False))
    assert (draft["version"], draft["active_version"], draft["document"]["is_active"]) == (2, 1, True)


async def test_an_edit_on_an_old_base_is_a_conflict(client: Client) -> None:
    id = (await saved(client, greeting("Hello")))["id"]
    tag = (await client.http.get(f"{GRAPHS}/{id}")).headers["etag"]
    assert tag == '"1"'
    await put(client, id, greeting("Bye"), headers={"If-Match": tag})
    for options in ({"headers": {"If-Match": tag}}, {"params": {"base_version": 1}}):
        refused = (await put(client, id, greeting("Hi"), 409, **options))["error"]
        assert refused["code"] == "CONFLICT"
        assert refused["details"]["reason"] == "graph_changed"
        assert "there is a version 2" in refused["message"]
    assert (await put(client, id, greeting("Hi"), headers={"If-Match": "*"}))["version"] == 3
    assert (await put(client, id, greeting("Hi"), params={"base_version": 2}))["version"] == 3, "it was saved already"
    await put(client, id, greeting("x"), 422, headers={"If-Match": "yesterday's"})
    await put(client, "unknown", greeting("x"), 404)


async def test_graphs_are_searched_sorted_and_paged(client: Client) -> None:
    word = f"w{uuid4().hex[:8]}"
    ids = [(await saved(client, greeting("Hello", name=f"{word} {name}")))["id"] for name in ("b", "a", "c")]
    found = await client.get(f"{GRAPHS}?search={word}&sort_by=name&page_size=2")
    assert [each["id"] for each in found["graphs"]] == [ids[1], ids[0]]
    assert found["pagination"] == {"total": 3, "page": 1, "page_size": 2, "total_pages": 2}
    assert [each["id"] for each in (await client.get(f"{GRAPHS}?search={word}"))["graphs"]] == ids[::-1]
    assert (await client.get(f"{GRAPHS}?search={word}+nothing"))["graphs"] == []
    assert (await client.http.get(f"{GRAPHS}?sort_by=size")).status_code == 422


async def test_a_graph_is_deleted_and_its_runs_stay(client: Client) -> None:
    made = await saved(client, GREETING)
    id = made["id"]
    run = await client.post(f"{GRAPHS}/{id}/execute?wait=30", {"input_data": {"who": "Ann"}})
    called = {"graph_id": id, "graph_version": 1, "inputs": {"who": "Bob"}}
    calling = agent({"sub": (AGENT, called)}, name="caller")
    parent = await saved(client, calling)
    refused = await client.http.delete(f"{GRAPHS}/{id}")
    assert (refused.status_code, refused.json()["error"]["details"]["reason"]) == (409, "graph_in_use")
    assert "caller" in refused.json()["error"]["message"]
    assert (await client.http.delete(f"{GRAPHS}/{id}?force=true")).json() == {"ok": True}
    for path in ("", "/versions", "/export", "/diff?from=1&to=1"):
        assert (await client.http.get(f"{GRAPHS}/{id}{path}")).status_code == 404
    assert (await client.http.delete(f"{GRAPHS}/{id}")).status_code == 404
    await client.post(f"{GRAPHS}/{id}/execute", {"input_data": {"who": "Ann"}, "version": 1}, status=404)
    assert (await client.get(f"/api/v2/executions/{run['id']}"))["outputs"] == run["outputs"]
    broken = await client.get(f"{GRAPHS}/{parent['id']}")
    (problem,) = [each for each in broken["problems"] if each["severity"] == "error"]
    assert (problem["code"], problem["node"], problem["pin"]) == ("missing_agent", "sub", "graph_id")


async def test_a_difference_of_versions_is_data(client: Client) -> None:
    id = (await saved(client, greeting("Hello")))["id"]
    other = greeting("Bye", name="farewell")
    other["nodes"].append({"id": "extra", "block_id": INPUT, "input_default": {"name": "extra"}})
    del other["links"][1]
    await put(client, id, other)
    change = await client.get(f"{GRAPHS}/{id}/diff?from=1&to=2")
    assert change["identical"] is False
    assert change["fields"] == [
        {"path": ["name"], "kind": "changed", "before": "greeting", "after": "farewell", "hidden": False}
    ]
    assert [each["node"]["id"] for each in change["nodes"]["added"]] == ["extra"]
    (node,) = change["nodes"]["changed"]
    assert (node["id"], [each["path"] for each in node["fields"]]) == ("text", [["input_default", "format"]])
    assert [each["link"]["sink_id"] for each in change["links"]["removed"]] == ["out"]
    same = await client.get(f"{GRAPHS}/{id}/diff?from=2")
    assert (same["from_version"], same["to_version"], same["identical"]) == (2, 2, True)
    assert (await client.http.get(f"{GRAPHS}/{id}/diff?from=1&to=7")).status_code == 404


async def test_validation_tells_everything_at_once_and_saves_nothing(client: Client) -> None:
    document = agent(
        {
            "a": (TEMPLATE, {}),
            "b": ("no-such-block", {}),
            "c": (AGENT, {"graph_id": "nowhere", "graph_version": 1}),
            "d": (INPUT, {"name": "who"}),
        },
        [("a", "nothing", "d", "value")],
    )
    before = (await client.get(GRAPHS))["pagination"]["total"]
    verdict = await client.post(f"{GRAPHS}/validate", document)
    assert (verdict["can_be_saved"], verdict["can_run"]) == (False, False)
    codes = {(each["node"], each["pin"], each["code"]) for each in verdict["problems"]}
    assert codes >= {
        ("a", "format", "missing_input"),
        ("a", "nothing", "unknown_pin"),
        ("b", "", "unknown_block"),
        ("c", "graph_id", "missing_agent"),
    }
    assert set(verdict["node_errors"]) == {"a", "b", "c"}
    assert set(verdict["node_errors"]["a"]) == {"format", "nothing", "values"}
    assert list(verdict["input_schema"]["properties"]) == ["who"]
    assert (await client.get(GRAPHS))["pagination"]["total"] == before
    unreadable = await client.post(f"{GRAPHS}/validate", {"nodes": [{}, {}]}, status=422)
    assert {each["place"] for each in unreadable["error"]["details"]["problems"]} >= {"nodes[0].block_id"}


async def test_validation_gives_what_forms_need(client: Client) -> None:
    good = await client.post(f"{GRAPHS}/validate", GREETING)
    assert (good["can_be_saved"], good["can_run"], good["problems"], good["node_errors"]) == (True, True, [], {})
    assert good["input_schema"]["required"] == ["who"]
    assert list(good["output_schema"]["properties"]) == ["greeting"]
    assert good["credentials_input_schema"]["properties"] == {}
    traits = ("has_external_trigger", "has_human_in_the_loop", "has_sensitive_action")
    assert [good[each] for each in traits] == [False, False, False]
    assert (await client.post(f"{GRAPHS}/validate", ASKING))["has_human_in_the_loop"] is True
    child = await saved(client, GREETING)
    calling = agent({"sub": (AGENT, {"graph_id": child["id"], "graph_version": 1})})
    verdict = await client.post(f"{GRAPHS}/validate", calling)
    assert "missing_agent" not in {each["code"] for each in verdict["problems"]}
    assert ("sub", "who") in {(each["node"], each["pin"]) for each in verdict["problems"]}, "the child was looked at"


async def test_what_an_editor_was_shown_can_be_sent_back(client: Client) -> None:
    constants = {"name": "k", "secret": True, "value": "sk-canary"}
    secret = agent({"in": (INPUT, constants), "t": (TEMPLATE, {"format": "x", "values": {}})})
    made = await saved(client, secret)
    assert "sk-canary" not in json.dumps(made)
    again = await put(client, made["id"], made["document"])
    assert again["version"] == 1
    made["document"]["nodes"][1]["input_default"]["format"] = "y"
    assert (await put(client, made["id"], made["document"]))["version"] == 2
    started = await client.post(f"{GRAPHS}/{made['id']}/execute?wait=30", {"input_data": {}})
    assert started["status"] == "COMPLETED", "the secret input still has its value"
