"""``Idempotency-Key`` over HTTP."""

import asyncio
from uuid import uuid4

from tests.main.installs import GREETING
from tests.web.conftest import Client

GRAPHS = "/api/v2/builder/graphs"


def _greeting(key: str) -> dict[str, object]:
    return {**GREETING, "id": key}


async def test_a_request_that_is_sent_again_is_answered_again(client: Client) -> None:
    key = str(uuid4())
    first = await client.http.post(GRAPHS, json=_greeting(key), headers={"Idempotency-Key": key})
    again = await client.http.post(GRAPHS, json=_greeting(key), headers={"Idempotency-Key": key})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


async def test_twins_get_one_answer(client: Client) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(
        *(client.http.post(GRAPHS, json=_greeting(key), headers={"Idempotency-Key": key}) for _ in range(5))
    )
    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    assert sum("idempotent-replayed" in each.headers for each in answers) == 4


async def test_a_key_used_for_something_else_is_refused_and_a_failed_request_may_be_mended(client: Client) -> None:
    key = str(uuid4())
    headers = {"Idempotency-Key": key}
    await client.post(GRAPHS, {"nodes": [{}]}, status=422, headers=headers)
    await client.post(GRAPHS, _greeting(key), status=201, headers=headers)
    error = (await client.post(GRAPHS, {**_greeting(key), "name": "x"}, status=422, headers=headers))["error"]
    assert (error["code"], error["details"]["reason"]) == ("VALIDATION_ERROR", "idempotency_key_reused")
    assert (await client.post(f"{GRAPHS}?x=1", _greeting(key), status=422, headers=headers))["error"]["details"]["fix"]


async def test_a_key_has_a_length(client: Client) -> None:
    for key in ("", "x" * 201):
        error = (await client.post(GRAPHS, GREETING, status=422, headers={"Idempotency-Key": key}))["error"]
        assert error["details"]["reason"] == "bad_input"
