"""The list of runs over HTTP."""

import pytest

from tests.main.installs import FAILING, GREETING
from tests.web.conftest import Client
from treadle.web.executions.bodies import RunList

LIST = "/api/v2/executions"


async def test_a_list_is_filtered_and_paged(client: Client) -> None:
    good = [(await client.execute({**GREETING, "name": "listed-1"}, who=str(number)))["id"] for number in range(3)]
    bad = (await client.execute({**FAILING, "name": "listed-2"}, of=-1))["id"]
    graph = (await client.get(f"{LIST}/{good[0]}"))["graph_id"]
    of_graph = f"{LIST}?graph_id={graph}&search=listed-1"
    first = await client.get(f"{of_graph}&page_size=2")
    assert [each["id"] for each in first["executions"]] == [good[2], good[1]]
    assert first["pagination"] == {"total": 3, "page": 1, "page_size": 2, "total_pages": 2, "total_is_exact": True}
    second = await client.get(f"{of_graph}&page_size=2&page=2")
    assert [each["id"] for each in second["executions"]] == [good[0]]
    assert second["next_before"] is None
    assert (await client.get(f"{of_graph}&before={first['next_before']}"))["executions"] == second["executions"]
    failed = await client.get(f"{LIST}?status=FAILED&status=TERMINATED&search=listed-2")
    assert [(each["id"], each["graph_name"], each["failed"]) for each in failed["executions"]] == [(bad, "listed-2", 1)]
    assert failed["executions"][0]["error"].startswith("Step 2, ")
    moment = failed["executions"][0]["created_at"]
    later = await client.get(LIST, params={"created_after": moment, "search": "listed-"})
    assert later["executions"] == []
    earlier = await client.get(LIST, params={"created_before": moment, "search": "listed-1"})
    assert earlier["pagination"]["total"] == 3


async def test_a_list_is_what_its_description_says_and_holds_no_values(client: Client) -> None:
    text = "a text that is only an input"
    await client.execute(GREETING, who=text)
    answer = await client.http.get(LIST)
    RunList.model_validate_json(answer.content, strict=True)
    assert text not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "status=BROKEN",
        "graph_id=" + "x" * 1001,
        "created_after=yesterday",
        "created_after=2026-01-01T00:00:00",
        "page=x",
    ],
)
async def test_what_makes_no_sense_is_refused(client: Client, query: str) -> None:
    answer = await client.http.get(f"{LIST}?{query}")
    assert answer.status_code == 422


async def test_pages_out_of_range_are_brought_into_it(client: Client) -> None:
    await client.execute(GREETING, who="Ann")
    for page, size, shown in ((0, 1, 1), (-3, 1, 1), (1, 0, 1), (10**9, 100, 0)):
        listed = await client.get(f"{LIST}?page={page}&page_size={size}")
        assert len(listed["executions"]) == shown
    assert (await client.get(f"{LIST}?page_size=1000"))["pagination"]["page_size"] == 100
