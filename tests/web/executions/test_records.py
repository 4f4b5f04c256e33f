"""What is recorded of a run: seen piece by piece, downloaded, deleted."""

import json
from typing import Any

import pytest

from tests.engine.harness import until
from tests.main.installs import AGENT, ASKING, FAILING, GREETING, INPUT, OUTPUT, REVIEW, TEMPLATE, WAITING, agent
from tests.web.conftest import Client
from treadle.engine import spill

RUNS = "/api/v2/executions"
LARGE = "large " * 20_000
ITEMS = "f66a3543-28d3-4ab5-8945-9b336371e2ce"
SECRET = "canary-1d9c44"


def _hidden(format: str) -> dict[str, Any]:
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "key": (INPUT, {"name": "key", "secret": True}),
        "text": (TEMPLATE, {"format": format}),
        "out": (OUTPUT, {"name": "text"}),
    }
    return agent(nodes, [("key", "result", "text", "values_#_key"), ("text", "output", "out", "value")], name="hidden")


async def test_firings_come_in_parts(client: Client) -> None:
    id = (await client.execute(GREETING, who="Ann"))["id"]
    every = (await client.get(f"{RUNS}/{id}/firings"))["firings"]
    seen: list[Any] = []
    after: int | None = 0
    while after is not None:
        part = await client.get(f"{RUNS}/{id}/firings?after={after}&limit=1")
        seen += part["firings"]
        after = part["next_after"]
    assert seen == every
    assert [each["number"] for each in every] == [1, 2, 3]
    assert (await client.get(f"{RUNS}/{id}/firings?after=3"))["firings"] == []


async def test_a_part_of_a_large_value_goes_on_though_the_value_is_kept_apart(client: Client) -> None:
    document = agent(
        {
            "in": ("c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", {"name": "both"}),
            "text": (TEMPLATE, {"format": "{{a}}"}),
            "out": (OUTPUT, {"name": "text"}),
        },
        [("in", "result_#_a", "text", "values_#_a"), ("text", "output", "out", "value")],
    )
    report = await client.execute(document, both={"a": "small", "b": LARGE})
    assert report["outputs"] == [{"name": "text", "value": "small"}]
    firings = (await client.get(f"{RUNS}/{report['id']}/firings"))["firings"]
    assert firings[1]["inputs"]["values_#_a"] == "small"
    shown = firings[0]["outputs"][0]["value"]
    assert set(shown) == {"size", "sha256"}
    assert firings[0]["inputs"]["value"] == shown
    value = await client.get(f"{RUNS}/{report['id']}/values/{shown['sha256']}")
    assert value == {"a": "small", "b": LARGE}


async def test_a_value_is_given_out_with_its_own_run_only(client: Client) -> None:
    one = await client.execute(GREETING, who=LARGE)
    other = await client.execute(GREETING, who="other " * 20_000)
    digest = (await client.get(f"{RUNS}/{one['id']}"))["inputs"]["who"]["value"]["sha256"]
    assert await client.get(f"{RUNS}/{one['id']}/values/{digest}") == LARGE
    for id, wanted in ((other["id"], digest), (one["id"], "0" * 64)):
        assert (await client.http.get(f"{RUNS}/{id}/values/{wanted}")).status_code == 404
    assert (await client.http.get(f"{RUNS}/{one['id']}/values/..%2F..%2Fx")).status_code in (404, 422)


async def test_a_run_is_downloaded_as_one_file(client: Client) -> None:
    report = await client.execute(GREETING, who=LARGE)
    id = report["id"]
    answer = await client.http.get(f"{RUNS}/{id}/download")
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{id}.json"'
    file = json.loads(answer.content)
    assert (file["form"], file["version"], file["agent"]["name"]) == ("treadle-run", 1, "greeting")
    (run,) = file["executions"]
    detail = await client.get(f"{RUNS}/{id}")
    for name in ("id", "status", "inputs", "outputs", "graph_version", "nodes"):
        assert run[name] == detail[name]
    assert run["firings"] == detail["node_executions"]
    assert run["events"] == (await client.get(f"{RUNS}/{id}/events"))["events"]
    values = {digest: each["value"] for digest, each in file["values"].items()}
    assert values[run["inputs"]["who"]["value"]["sha256"]] == LARGE
    assert values[run["outputs"][0]["value"]["sha256"]] == f"Hello {LARGE}!"


async def test_the_file_has_the_sub_agents_and_what_has_not_ended(client: Client) -> None:
    child = await client.post("/api/v2/builder/graphs", GREETING, status=201)
    parent = agent(
        {
            "sub": (
                AGENT,
                {"graph_id": child["id"], "graph_version": child["version"], "inputs": {"who": "Ann"}, "user_id": ""},
            ),
            "ask": ("8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d", {"name": "Good?", "data": "x"}),
        },
    )
    id = (await client.execute(parent, status=202))["execution_id"]
    file = json.loads((await client.http.get(f"{RUNS}/{id}/download")).content)
    assert [each["graph_name"] for each in file["executions"]] == [parent["name"], "greeting"]
    assert {each["status"] for each in file["executions"][0]["firings"]} == {"review", "completed"}
    assert [each["id"] for each in file["executions"]][1:] == (await client.get(f"{RUNS}/{id}"))["children"]


async def test_values_beyond_the_limit_are_only_named(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("treadle.features.executions.download.MOST_VALUE_BYTES", 130_000)
    id = (await client.execute(GREETING, who=LARGE))["id"]
    file = json.loads((await client.http.get(f"{RUNS}/{id}/download")).content)
    left_out = [each for each in file["values"].values() if each.get("left_out")]
    assert [set(each) for each in left_out] == [{"size", "left_out"}]
    assert len(file["values"]) == 2


async def test_secrets_are_in_no_file_and_no_value(client: Client) -> None:
    report = await client.execute(_hidden("x" * 70_000 + " {{key}} {{key}}"), key="canary-record-55")
    path = f"{RUNS}/{report['id']}"
    detail = await client.get(path)
    value = await client.get(f"{path}/values/{detail['outputs'][0]['value']['sha256']}")
    assert value == "x" * 70_000 + " *** ***"
    for part in ("", "/firings", "/events", "/download"):
        text = (await client.http.get(path + part)).text
        assert "canary-record" not in text
        assert "treadle-secret." not in text
    assert detail["inputs"]["key"] == {"value": "***"}


async def test_a_run_that_is_over_is_deleted_with_all_that_was_recorded(client: Client) -> None:
    id = (await client.execute(ASKING, status=202))["execution_id"]
    answer = await client.http.delete(f"{RUNS}/{id}")
    assert (answer.status_code, answer.json()["error"]["details"]["fix"]) == (409, "Stop it first.")
    await client.post(f"{RUNS}/{id}/reviews/2", {"approved": True}, status=202)
    await client.ended(id)
    await client.post(f"{RUNS}/{id}/share", status=201)
    pool = client.site.worker.pool
    await pool.execute("INSERT INTO spilled SELECT id, 1, id, workspace_id, '' FROM executions WHERE id::text = $1", id)
    other = (await client.execute(FAILING, of=-1))["id"]
    assert (await client.http.delete(f"{RUNS}/{id}")).json() == {"ok": True}
    for path in ("", "/firings", "/events", "/reviews", "/download"):
        assert (await client.http.get(f"{RUNS}/{id}{path}")).status_code == 404
    assert (await client.http.delete(f"{RUNS}/{id}")).status_code == 404
    for table in ("executions", "journal", "snapshots", "spilled", "reviews", "inbox"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table} WHERE root_id::text = $1", id) == 0
    assert await pool.fetchval("SELECT count(*) FROM execution_shares WHERE execution_id::text = $1", id) == 0
    assert (await client.get(f"{RUNS}/{other}"))["status"] == "FAILED"


async def test_secrets_that_wait_in_the_database_are_encrypted(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "LOOK_AT", 2)
    monkeypatch.setattr(spill, "ENTRIES", 8)
    document = agent(
        {
            "key": (INPUT, {"name": "key", "secret": True}),
            "each": (ITEMS, {"items": list(range(150))}),
            "text": (TEMPLATE, {"format": "{{n}} {{key}}"}),
            "ask": (REVIEW, {"name": "Good?"}),
        },
        [
            ("key", "result", "text", "values_#_key"),
            ("each", "item", "text", "values_#_n"),
            ("text", "output", "ask", "data"),
        ],
    )
    id = (await client.execute(document, status=202, key=SECRET))["execution_id"]
    pool = client.site.worker.pool
    bodies = await until(lambda: pool.fetch("SELECT body FROM spilled WHERE root_id::text = $1", id))
    assert all(b"treadle-secret." in each["body"] and SECRET.encode() not in each["body"] for each in bodies)
    await client.post(f"{RUNS}/{id}/stop", status=202)
    await client.ended(id)
    assert await pool.fetchval("SELECT count(*) FROM spilled WHERE root_id::text = $1", id) == 0


async def test_a_sub_agents_run_goes_with_the_run_that_started_it(client: Client) -> None:
    child = await client.post("/api/v2/builder/graphs", GREETING, status=201)
    inputs = {"graph_id": child["id"], "graph_version": child["version"], "inputs": {"who": "Ann"}, "user_id": ""}
    id = (await client.execute(agent({"sub": (AGENT, inputs)})))["id"]
    (below,) = (await client.get(f"{RUNS}/{id}"))["children"]
    assert (await client.http.delete(f"{RUNS}/{below}")).status_code == 409
    assert (await client.http.post(f"{RUNS}/{below}/share")).status_code == 409
    assert (await client.http.delete(f"{RUNS}/{id}")).status_code == 200
    assert (await client.http.get(f"{RUNS}/{below}")).status_code == 404


async def test_a_run_that_waits_is_not_deleted(client: Client) -> None:
    id = (await client.execute(WAITING, wait=0, status=202))["execution_id"]
    assert (await client.http.delete(f"{RUNS}/{id}")).status_code == 409
    await client.post(f"{RUNS}/{id}/stop", status=202)
    await client.ended(id)
    assert (await client.http.delete(f"{RUNS}/{id}")).status_code == 200
