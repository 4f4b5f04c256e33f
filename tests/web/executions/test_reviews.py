"""What waits for a person: paged, decided once, many at once."""

from typing import Any

from tests.main.installs import ASKING, INPUT, OUTPUT, REVIEW, agent
from tests.web.conftest import Client

UNKNOWN = "01234567-89ab-7def-8123-456789abcdef"
LIST_ITEMS = "f66a3543-28d3-4ab5-8945-9b336371e2ce"
STRICT = agent(
    {
        "draft": (INPUT, {"name": "draft", "value": "a draft"}),
        "ask": (REVIEW, {"name": "As it is?", "editable": False}),
        "out": (OUTPUT, {"name": "approved"}),
    },
    [("draft", "result", "ask", "data"), ("ask", "approved_data", "out", "value")],
    name="strict",
)


async def _asked(client: Client, document: dict[str, Any] = ASKING) -> str:
    id: str = (await client.execute(document, status=202))["execution_id"]
    return id


def _of(reviews: list[Any], ids: list[str]) -> list[Any]:
    return [each for each in reviews if each["root_id"] in ids]


async def test_what_waits_is_paged_oldest_first(client: Client) -> None:
    ids = [await _asked(client) for _ in range(3)]
    total = (await client.get("/api/v2/reviews?page_size=1"))["pagination"]["total"]
    found: list[Any] = []
    for page in range(1, total + 1):
        found += (await client.get(f"/api/v2/reviews?page_size=1&page={page}"))["reviews"]
    assert [each["root_id"] for each in _of(found, ids)] == ids
    assert {each["status"] for each in found} == {"WAITING"}
    await client.post(f"/api/v2/executions/{ids[0]}/stop", status=202)
    await client.ended(ids[0])
    assert (await client.get("/api/v2/reviews"))["pagination"]["total"] == total - 1
    (expired,) = (await client.get(f"/api/v2/executions/{ids[0]}/reviews"))["reviews"]
    assert expired["status"] == "EXPIRED"
    await client.post(f"/api/v2/executions/{ids[0]}/reviews/2", {"approved": True}, status=409)


async def test_the_first_decision_counts_and_may_be_repeated(client: Client) -> None:
    id = await _asked(client)
    path = f"/api/v2/executions/{id}/reviews/2"
    first = {"approved": False, "message": "No."}
    await client.post(path, first, status=202)
    await client.post(path, first, status=202)
    for other in ({"approved": True}, {"approved": False, "data": "x"}):
        await client.post(path, other, status=409)
    assert (await client.ended(id))["outputs"] == [{"name": "rejected", "value": "a draft"}]
    await client.post(path, first, status=202)
    await client.post(f"/api/v2/executions/{id}/reviews/1", {"approved": True}, status=404)


async def test_data_that_may_not_be_changed_is_not(client: Client) -> None:
    id = await _asked(client, STRICT)
    path = f"/api/v2/executions/{id}/reviews/2"
    await client.post(path, {"approved": True, "data": "changed"}, status=422)
    await client.post(path, {"approved": True}, status=202)
    assert (await client.ended(id))["outputs"] == [{"name": "approved", "value": "a draft"}]


async def test_many_are_decided_at_once_and_one_holds_up_no_other(client: Client) -> None:
    ids = [await _asked(client) for _ in range(2)]
    strict = await _asked(client, STRICT)
    decisions = [
        {"execution_id": ids[0], "firing": 2, "approved": True, "data": "better"},
        {"execution_id": UNKNOWN, "firing": 2, "approved": True},
        {"execution_id": strict, "firing": 2, "approved": True, "data": "x"},
        {"execution_id": ids[1], "firing": 2, "approved": False},
        {"execution_id": ids[0], "firing": 2, "approved": False},
    ]
    results = (await client.post("/api/v2/reviews/decide", {"decisions": decisions}))["results"]
    assert [(each["ok"], each["reason"]) for each in results] == [
        (True, ""),
        (False, "not_found"),
        (False, "bad_input"),
        (True, ""),
        (False, "conflict"),
    ]
    assert (await client.ended(ids[0]))["outputs"] == [{"name": "approved", "value": "better"}]
    assert (await client.ended(ids[1]))["outputs"] == [{"name": "rejected", "value": "a draft"}]
    for wrong in ([], decisions * 21):
        await client.post("/api/v2/reviews/decide", {"decisions": wrong}, status=422)


async def test_an_approval_may_hold_for_the_rest_of_the_run(client: Client) -> None:
    document = agent(
        {
            "each": (LIST_ITEMS, {"items": ["a", "b", "c"]}),
            "ask": (REVIEW, {"name": "Good?"}),
            "out": (OUTPUT, {"name": "approved"}),
        },
        [("each", "item", "ask", "data"), ("ask", "approved_data", "out", "value")],
    )
    id = await _asked(client, document)
    reviews = (await client.get(f"/api/v2/executions/{id}/reviews"))["reviews"]
    assert {each["data"] for each in reviews} == {"a", "b", "c"}
    for each in reviews:
        path = f"/api/v2/executions/{id}/reviews/{each['firing']}"
        await client.post(path, {"approved": True, "always": True}, status=202)
    assert [each["value"] for each in (await client.ended(id))["outputs"]] == ["a", "b", "c"]
