"""Starting runs: once for each key, with the credentials that were chosen, answered with the result in time."""

import asyncio
from typing import Any

import pytest

from tests.main.installs import ASKING, GREETING, INPUT, OUTPUT, TEMPLATE, WAITING, agent
from tests.web.conftest import Client

GRAPHS = "/api/v2/builder/graphs"
ADD_LABEL = "98bd6b77-9506-43d5-b669-6b9733c4b1f1"
KEY = {"type": "api_key", "title": "Mine", "secret": "canary-start-7c1e"}
LABELLING = agent(
    {"add": (ADD_LABEL, {"issue_url": "https://github.com/a/b/issues/1", "label": "x"})},
    name="labelling",
)
HIDDEN = agent(
    {
        "key": (INPUT, {"name": "key", "secret": True}),
        "who": (INPUT, {"name": "who"}),
        "text": (TEMPLATE, {"format": "{{key}} {{who}}"}),
        "out": (OUTPUT, {"name": "text"}),
    },
    [
        ("key", "result", "text", "values_#_key"),
        ("who", "result", "text", "values_#_who"),
        ("text", "output", "out", "value"),
    ],
    name="hidden",
)


async def _path(client: Client, document: dict[str, Any], query: str = "") -> str:
    made = await client.post(GRAPHS, document, status=201)
    return f"{GRAPHS}/{made['id']}/execute{query}"


async def _starts(client: Client, path: str, body: Any, key: str) -> Any:
    answer = await client.http.post(path, json=body, headers={"Idempotency-Key": key})
    return answer.status_code, answer.json()


async def test_the_same_key_with_another_request_is_refused(client: Client) -> None:
    path = await _path(client, GREETING)
    body: dict[str, Any] = {"input_data": {"who": "Ann"}, "safe_mode": True}
    status, first = await _starts(client, path, body, "key-1")
    assert status == 202
    assert (await _starts(client, path, body, "key-1"))[1]["execution_id"] == first["execution_id"]
    assert (await _starts(client, f"{path}?wait=30", body, "key-1"))[1]["id"] == first["execution_id"]
    other = await _path(client, ASKING)
    for where, changed in (
        (path, {"input_data": {"who": "Bob"}}),
        (path, {**body, "safe_mode": False}),
        (path, {**body, "timezone": "Europe/Berlin"}),
        (path, {**body, "version": 1}),
        (other, {}),
    ):
        status, told = await _starts(client, where, changed, "key-1")
        assert (status, told["error"]["details"]["reason"]) == (422, "idempotency_key_reused")
    assert (await _starts(client, path, body, "treadle:x"))[0] == 422


async def test_a_key_that_comes_many_times_at_once_starts_one_run(client: Client) -> None:
    path = await _path(client, GREETING)
    told = await asyncio.gather(
        *(_starts(client, f"{path}?wait=30", {"input_data": {"who": "Ann"}}, "key-2") for _ in range(20))
    )
    assert {status for status, _ in told} == {200}
    assert len({answer["id"] for _, answer in told}) == 1
    assert all(answer["outputs"][0]["value"] == "Hello Ann!" for _, answer in told)


async def test_what_was_asked_for_does_not_tell_a_secret(client: Client) -> None:
    path = await _path(client, HIDDEN, "?wait=30")
    first = await _starts(client, path, {"input_data": {"key": "1234-abcd", "who": "Ann"}}, "key-3")
    digests = await client.site.worker.pool.fetch(
        "SELECT request_digest FROM executions WHERE idempotency_key = 'key-3'"
    )
    assert first[0] == 200
    assert first[1]["outputs"] == [{"name": "text", "value": "*** Ann"}]
    other = await _starts(client, path, {"input_data": {"key": "5678-abcd", "who": "Ann"}}, "key-3")
    assert (other[0], other[1]["id"]) == (200, first[1]["id"])
    assert len(digests) == 1


async def test_a_new_version_runs_as_soon_as_it_is_saved(client: Client) -> None:
    for number in range(5):
        document = {**GREETING, "id": "0f0e7a55-0000-4000-8000-00000000a001", "description": f"number {number}"}
        made = await client.post(GRAPHS, document, status=201)
        report = await client.post(f"{GRAPHS}/{made['id']}/execute?wait=30", {"input_data": {"who": "Ann"}}, status=200)
        detail = await client.get(f"/api/v2/executions/{report['id']}")
        assert detail["graph_version"] == made["version"]
    old = await client.post(
        f"{GRAPHS}/{made['id']}/execute?wait=30", {"input_data": {"who": "Ann"}, "version": made["version"] - 2}
    )
    assert (await client.get(f"/api/v2/executions/{old['id']}"))["graph_version"] == made["version"] - 2
    path = f"{GRAPHS}/{made['id']}/execute"
    await client.post(path, {"input_data": {"who": "Ann"}, "version": 99}, status=404)


async def test_a_run_that_needs_a_person_is_answered_at_once(client: Client) -> None:
    began = asyncio.get_running_loop().time()
    started = await client.execute(ASKING, wait=200, status=202)
    assert started["status"] == "REVIEW"
    assert asyncio.get_running_loop().time() - began < 60
    waiting = await client.execute(WAITING, wait=0, status=202)
    assert waiting["status"] in ("RUNNING", "WAITING")


async def test_an_answer_is_what_is_recorded(client: Client) -> None:
    report = await client.execute(GREETING, who="Ann")
    detail = await client.get(f"/api/v2/executions/{report['id']}")
    for name in ("status", "error", "firings", "warnings", "outputs"):
        assert report[name] == detail[name]
    assert detail["usage"] == {
        "credits": 0,
        "tokens": 0,
        "sent_tokens": 0,
        "received_tokens": 0,
        "calls": 0,
        "usd": 0.0,
    }
    assert [each["node"] for each in detail["node_executions"]] == ["who", "text", "out"]
    assert (detail["graph_name"], detail["more_node_executions"], detail["shared_at"]) == ("greeting", False, None)


async def test_a_run_uses_the_credentials_that_were_chosen_for_it(client: Client) -> None:
    ids = [(await client.post("/api/v2/integrations/github/credentials", KEY, status=201))["id"] for _ in range(2)]
    made = await client.post(GRAPHS, LABELLING, status=201)
    (need,) = made["credentials"]
    path = f"{GRAPHS}/{made['id']}/execute?wait=30"
    for id in ids:
        chosen = {need["key"]: {"id": id, "provider": "github", "type": "api_key", "title": "Mine"}}
        run = await client.post(path, {"credentials": chosen})
        events = (await client.get(f"/api/v2/executions/{run['id']}/events"))["events"]
        (start,) = [each["fields"] for each in events if each["kind"] == "start"]
        assert start["inputs"]["credentials"]["id"] == id
        assert KEY["secret"] not in str(events)


@pytest.mark.parametrize("id", ["no-such-id", "01234567-89ab-7def-8123-456789abcdef"])
async def test_credentials_that_are_not_here_start_nothing(client: Client, id: str) -> None:
    made = await client.post(GRAPHS, LABELLING, status=201)
    path = f"{GRAPHS}/{made['id']}/execute"
    ref = {"id": id, "provider": "github", "type": "api_key"}
    told = await client.post(path, {"credentials": {made["credentials"][0]["key"]: ref}}, status=422)
    assert id not in str(told)
    told = await client.post(path, {"credentials": {"other": ref}}, status=422)
    assert made["credentials"][0]["key"] in told["error"]["details"]["fix"]
    await client.post(path, {"credentials": {"other": {**ref, "secret": "x"}}}, status=422)
