"""Links to what a run has given: followed by anybody, taken back at any time, telling nothing else (A11, R12)."""

import hashlib
from typing import Any

import httpx
import pytest

from tests.main.installs import GREETING, INPUT, OUTPUT, TEMPLATE, WAITING, agent
from tests.web.conftest import Client

LARGE = "large " * 20_000


async def _anybody(client: Client, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    """The answer to somebody who has no token."""
    return await client.http.request(method, path, headers={"Authorization": ""}, **options)


async def _shared(client: Client, id: str) -> str:
    token: str = (await client.post(f"/api/v2/executions/{id}/share", status=201))["token"]
    return token


async def test_a_link_shows_the_outputs_and_nothing_else(client: Client) -> None:
    report = await client.execute({**GREETING, "description": "Greets."}, who="Ann")
    share = await client.post(f"/api/v2/executions/{report['id']}/share", status=201)
    assert share["path"] == f"/share/{share['token']}"
    answer = await _anybody(client, f"/api/v2/share/{share['token']}")
    detail = await client.get(f"/api/v2/executions/{report['id']}")
    assert answer.json() == {
        "name": "greeting",
        "description": "Greets.",
        "status": "COMPLETED",
        "created_at": detail["created_at"],
        "outputs": [{"name": "greeting", "value": "Hello Ann!"}],
    }
    assert detail["shared_at"] == share["created_at"]
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_link_cannot_be_guessed_and_is_kept_as_a_hash(client: Client) -> None:
    id = (await client.execute(GREETING, who="Ann"))["id"]
    tokens = [await _shared(client, id) for _ in range(3)]
    assert len(set(tokens)) == 3
    assert all(len(token) * 6 >= 128 for token in tokens)
    kept = await client.site.worker.pool.fetch("SELECT * FROM execution_shares WHERE execution_id::text = $1", id)
    assert [row["token_digest"] for row in kept] == [hashlib.sha256(tokens[-1].encode()).digest()]
    assert tokens[-1] not in str(kept)


async def test_a_link_ends_with_the_next_one_or_when_it_is_taken_back(client: Client) -> None:
    id = (await client.execute(GREETING, who="Ann"))["id"]
    first, second = await _shared(client, id), await _shared(client, id)
    assert (await _anybody(client, f"/api/v2/share/{first}")).status_code == 404
    assert (await _anybody(client, f"/api/v2/share/{second}")).status_code == 200
    for _ in range(2):
        assert (await client.http.delete(f"/api/v2/executions/{id}/share")).status_code == 200
    assert (await _anybody(client, f"/api/v2/share/{second}")).status_code == 404
    assert (await client.get(f"/api/v2/executions/{id}"))["shared_at"] is None


@pytest.mark.parametrize("token", ["x" * 32, "0" * 100, "%00" * 12, "ä" * 12, "01234567-89ab-7def-8123-456789abcdef"])
async def test_other_links_lead_nowhere(client: Client, token: str) -> None:
    assert (await _anybody(client, f"/api/v2/share/{token}")).status_code in (400, 404)


async def test_large_outputs_can_be_fetched_and_inputs_cannot(client: Client) -> None:
    report = await client.execute(GREETING, who=LARGE)
    token = await _shared(client, report["id"])
    (output,) = (await _anybody(client, f"/api/v2/share/{token}")).json()["outputs"]
    value = await _anybody(client, f"/api/v2/share/{token}/values/{output['value']['sha256']}")
    assert (value.status_code, value.json()) == (200, f"Hello {LARGE}!")
    given = (await client.get(f"/api/v2/executions/{report['id']}"))["inputs"]["who"]["value"]["sha256"]
    assert (await _anybody(client, f"/api/v2/share/{token}/values/{given}")).status_code == 404


async def test_secrets_in_outputs_are_hidden(client: Client) -> None:
    document = agent(
        {
            "key": (INPUT, {"name": "key", "secret": True}),
            "text": (TEMPLATE, {"format": "{{key}}"}),
            "out": (OUTPUT, {"name": "text"}),
        },
        [("key", "result", "text", "values_#_key"), ("text", "output", "out", "value")],
    )
    id = (await client.execute(document, key="canary-share-91"))["id"]
    answer = await _anybody(client, f"/api/v2/share/{await _shared(client, id)}")
    assert answer.json()["outputs"] == [{"name": "text", "value": "***"}]


async def test_a_link_to_a_run_that_goes_on_shows_how_it_stands(client: Client) -> None:
    id = (await client.execute(WAITING, wait=0, status=202))["execution_id"]
    shown = (await _anybody(client, f"/api/v2/share/{await _shared(client, id)}")).json()
    assert (shown["status"] in ("RUNNING", "WAITING"), shown["outputs"]) == (True, [])


async def test_a_link_lets_nobody_do_anything(client: Client) -> None:
    id = (await client.execute(GREETING, who="Ann"))["id"]
    path = f"/api/v2/share/{await _shared(client, id)}"
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await _anybody(client, path, method, json={"nodes": [], "input_data": {"who": "Eve"}})
        assert answer.status_code in (401, 405)
    asked = await _anybody(client, f"{path}?data=x&input_data=y")
    assert asked.json()["outputs"] == [{"name": "greeting", "value": "Hello Ann!"}]
