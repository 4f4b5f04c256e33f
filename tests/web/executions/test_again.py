"""Runs that are run again: from a firing, from a node, many failed ones at once."""

import asyncio
from typing import Any

from tests.main.installs import CALCULATOR, FAILING, GREETING, NUMBER, OUTPUT, WAITING, agent
from tests.web.conftest import Client

RUNS = "/api/v2/executions"
UNKNOWN = "01234567-89ab-7def-8123-456789abcdef"
TWICE = agent(
    {
        "of": (NUMBER, {"name": "of"}),
        "good": (CALCULATOR, {"operation": "Add", "b": 1}),
        "bad": (CALCULATOR, {"operation": "Power", "b": 0.5}),
        "worse": (CALCULATOR, {"operation": "Power", "b": 0.25}),
        "out": (OUTPUT, {"name": "sum"}),
    },
    [
        ("of", "result", "good", "a"),
        ("of", "result", "bad", "a"),
        ("of", "result", "worse", "a"),
        ("good", "result", "out", "value"),
    ],
    name="twice",
)
"""Two of its nodes fail on a negative number, one does not."""


async def test_a_run_is_run_again_from_a_node(client: Client) -> None:
    id = (await client.execute(GREETING, who="Ann"))["id"]
    path = f"{RUNS}/{id}/rerun"
    preview = await client.post(path, {"node": "text", "preview": True}, status=202)
    assert (preview["execution_id"], preview["kept"], preview["credits"], preview["tokens"]) == (None, 1, 0, 0)
    made = await client.post(path, {"node": "text", "edits": {"values_#_name": "Bob"}}, status=202)
    run = await client.ended(made["execution_id"])
    assert (run["rerun_of"], run["outputs"][0]["value"]) == (id, "Hello Bob!")
    kept = [each["kept_from"] for each in run["node_executions"]]
    assert kept == [1, None, None]
    for body in ({"node": "nowhere"}, {"firing": 50}, {}, {"node": "text", "firing": 1}):
        await client.post(path, body, status=422)


async def test_a_rerun_with_a_key_is_made_once(client: Client) -> None:
    id = (await client.execute(GREETING, who="Ann"))["id"]
    other = (await client.execute(GREETING, who="Bob"))["id"]
    headers = {"Idempotency-Key": "again-1"}
    made = await asyncio.gather(
        *(client.post(f"{RUNS}/{id}/rerun", {"firing": 2}, status=202, headers=headers) for _ in range(6))
    )
    assert len({each["execution_id"] for each in made}) == 1
    told = await client.post(f"{RUNS}/{other}/rerun", {"firing": 2}, status=422, headers=headers)
    assert told["error"]["details"]["reason"] == "idempotency_key_reused"


async def _retry(client: Client, body: Any, **headers: str) -> list[Any]:
    results: list[Any] = (await client.post(f"{RUNS}/retry", body, headers=headers))["results"]
    return results


async def test_failed_runs_are_retried_from_where_they_failed_and_once(client: Client) -> None:
    bad = (await client.execute(TWICE, of=-1))["id"]
    good = (await client.execute(TWICE, of=1))["id"]
    waiting = (await client.execute(WAITING, wait=0, status=202))["execution_id"]
    results = await _retry(client, {"execution_ids": [bad, good, waiting, UNKNOWN, bad]})
    assert [each["execution_id"] for each in results] == [bad, good, waiting, UNKNOWN]
    assert [each["reason"] for each in results] == ["", "not_failed", "not_failed", "not_found"]
    run = await client.ended(results[0]["started"])
    assert (run["status"], run["rerun_of"], run["failed"]) == ("FAILED", bad, 2)
    repeated = {each["node"]: each["kept_from"] is None for each in run["node_executions"]}
    assert repeated == {"of": False, "good": False, "out": False, "bad": True, "worse": True}
    assert results[0]["kept"] == 3
    again = await _retry(client, {"execution_ids": [bad]})
    assert again[0]["started"] == results[0]["started"]
    other = await _retry(client, {"execution_ids": [bad]}, **{"Idempotency-Key": "once more"})
    assert other[0]["started"] not in (None, results[0]["started"])
    assert other == await _retry(client, {"execution_ids": [bad]}, **{"Idempotency-Key": "once more"})


async def test_an_agents_failed_runs_are_retried_together(client: Client) -> None:
    document = {**FAILING, "name": "retried-together", "id": "0f0e7a55-0000-4000-8000-00000000b001"}
    runs = [await client.execute(document, of=number) for number in (-1, 4, -2)]
    first = await client.get(f"{RUNS}/{runs[0]['id']}")
    later = await client.get(f"{RUNS}/{runs[2]['id']}")
    graph = first["graph_id"]
    since = {"graph_id": graph, "status": "FAILED", "since": later["created_at"]}
    assert [each["execution_id"] for each in await _retry(client, since)] == [runs[2]["id"]]
    every = await _retry(client, {"graph_id": graph})
    assert {each["execution_id"] for each in every} >= {runs[0]["id"], runs[2]["id"]}
    assert runs[1]["id"] not in {each["execution_id"] for each in every}
    assert await _retry(client, {"graph_id": "no-such"}) == []
    for body in ({}, {"graph_id": graph, "execution_ids": [runs[0]["id"]]}, {"graph_id": graph, "status": "RUNNING"}):
        await client.post(f"{RUNS}/retry", body, status=422)
