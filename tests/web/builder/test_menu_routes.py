"""The menu of blocks and agents over HTTP."""

from uuid import uuid4

from tests.main.installs import GREETING
from tests.web.conftest import Client

BUILDER = "/api/v2/builder"


async def test_categories_tell_how_many_blocks_and_show_some(client: Client) -> None:
    found = (await client.get(f"{BUILDER}/categories?blocks_per_category=2"))["categories"]
    assert [each["title"] for each in found] == sorted(each["title"] for each in found)
    text = next(each for each in found if each["name"] == "TEXT")
    assert (text["title"], len(text["blocks"])) == ("Text", 2)
    listed = await client.get(f"{BUILDER}/blocks?category=TEXT")
    assert text["total"] == listed["total"]
    assert all("TEXT" in each["categories"] for each in text["blocks"])
    assert (await client.http.get(f"{BUILDER}/categories?blocks_per_category=51")).status_code == 422


async def test_providers_are_told_with_their_blocks(client: Client) -> None:
    found = await client.get(f"{BUILDER}/providers?page_size=100")
    github = next(each for each in found["providers"] if each["name"] == "github")
    listed = await client.get(f"{BUILDER}/blocks?provider=github")
    assert (github["title"], github["total"]) == ("GitHub", listed["total"])
    assert found["pagination"]["total"] == len(found["providers"])
    page = await client.get(f"{BUILDER}/providers?page=2&page_size=3")
    assert page["providers"] == found["providers"][3:6]


async def test_counts_agree_with_the_lists(client: Client) -> None:
    counts = await client.get(f"{BUILDER}/counts")
    for type in ("input", "output", "action", "ai", "trigger"):
        assert counts[f"{type}_blocks"] == (await client.get(f"{BUILDER}/blocks?type={type}"))["total"]
    assert counts["all_blocks"] == len(client.site.registry)
    before = counts["my_agents"]
    await client.post(f"{BUILDER}/graphs", {**GREETING, "id": str(uuid4())}, status=201)
    assert (await client.get(f"{BUILDER}/counts"))["my_agents"] == before + 1
    assert counts["providers"] == (await client.get(f"{BUILDER}/providers"))["pagination"]["total"]


async def test_blocks_and_agents_are_found_in_ones_own_words(client: Client) -> None:
    word = f"zq{uuid4().hex[:8]}"
    made = await client.post(
        f"{BUILDER}/graphs", {**GREETING, "id": str(uuid4()), "name": f"Welcome {word}"}, status=201
    )
    found = await client.get(f"{BUILDER}/search", params={"q": word})
    (agent,) = [each["agent"] for each in found["items"] if each["kind"] == "agent"]
    assert (agent["id"], agent["name"]) == (made["id"], f"Welcome {word}")
    assert found["totals"]["agent"] == 1
    await client.site.search.backlog.work_off()
    found = await client.get(f"{BUILDER}/search", params={"q": "fetch a page from the internet", "kind": "block"})
    assert found["by_meaning"] is True
    assert {each["kind"] for each in found["items"]} == {"block"}
    best = [each["block"]["name"] for each in found["items"][:6]]
    assert {"SendWebRequestBlock", "ExtractWebsiteContentBlock"} & set(best), best
    page = await client.get(
        f"{BUILDER}/search",
        params={"q": "fetch a page from the internet", "kind": "block", "page": 2, "page_size": 2},
    )
    assert page["items"] == found["items"][2:4]
    assert page["pagination"]["total"] == found["pagination"]["total"] == found["totals"]["block"]
    for bad in ({}, {"q": ""}, {"q": "x" * 501}, {"q": "x", "kind": "person"}, {"q": "x", "search_id": "1"}):
        assert (await client.http.get(f"{BUILDER}/search", params=bad)).status_code == 422
    assert (await client.get(f"{BUILDER}/search", params={"q": "?!"}))["items"] == []


async def test_suggestions_know_what_is_used_and_what_was_searched(client: Client) -> None:
    await client.execute(GREETING, who="Ann")
    first = await client.get(f"{BUILDER}/search", params={"q": "templ"})
    again = await client.get(f"{BUILDER}/search", params={"q": "template", "search_id": first["search_id"]})
    assert again["search_id"] == first["search_id"]
    found = await client.get(f"{BUILDER}/suggestions")
    assert "FillTextTemplateBlock" in [each["name"] for each in found["top_blocks"]]
    assert found["recent_searches"][0]["query"] == "template"
    assert "templ" not in [each["query"] for each in found["recent_searches"]]
    assert "github" in found["providers"]
    assert (await client.http.delete(f"{BUILDER}/searches")).json() == {"ok": True}
    assert (await client.get(f"{BUILDER}/suggestions"))["recent_searches"] == []
