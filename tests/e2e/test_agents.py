"""Agents exported from the AutoGPT platform run here unchanged: their providers are played by a local server."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import pytest_asyncio

from tests.e2e.companies import Answers, Companies, Reply, companies
from tests.e2e.platforms import agent_in, fresh_platform, outputs_of, run_file
from tests.sdk.models.servers import Say, Seen
from tests.shared_files import SHARED, needs_shared
from treadle.engine.store import ExecutionRow
from treadle.features.graphs.validation import validate
from treadle.kernel.states import Status
from treadle.main.wiring import Platform, make_registry

AGENTS = SHARED / "agents"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs_shared(AGENTS)]

KEYS = {
    "OPENAI_API_KEY": "canary-openai",
    "ANTHROPIC_API_KEY": "canary-anthropic",
    "JINA_API_KEY": "canary-jina",
    "E2B_API_KEY": "canary-e2b",
    "REPLICATE_API_TOKEN": "canary-replicate",
    "GOOGLE_MAPS_API_KEY": "canary-maps",
    "MEDIUM_API_KEY": "canary-medium",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[tuple[Platform, Companies]]:
    """A fresh install with keys in its environment, in a world in which the companies' servers are ours."""
    async with companies() as (state, egress):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("treadle.main.wiring.EgressClient", egress)
            for name, value in KEYS.items():
                patch.setenv(name, value)
            async with fresh_platform() as platform:
                yield platform, state


async def run(world: tuple[Platform, Companies], name: str, answers: Answers, **inputs: Any) -> ExecutionRow:
    """A run of an exported agent that nobody had anything against."""
    platform, state = world
    state.expect(answers)
    row = await run_file(platform, AGENTS / f"{name}.json", inputs)
    assert state.problems == []
    assert (row.status, row.error, row.failures) == (Status.COMPLETED, None, [])
    assert "canary" not in repr(row)
    return row


def prompt_of(request: Seen) -> str:
    """Everything that a model was told."""
    system = request.body.get("system", "")
    return f"{system}\n{json.dumps(request.body['messages'], ensure_ascii=False)}"


def query_of(request: Seen) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


async def test_all_of_them_import_and_are_valid() -> None:
    registry = make_registry()
    files = sorted(AGENTS.glob("*.json"))
    assert len(files) >= 8
    problems = {file.stem: validate(agent_in(file), registry, for_run=True) for file in files}
    assert {name: found for name, found in problems.items() if any(each.severity == "error" for each in found)} == {}


async def test_ai_function(world: tuple[Platform, Companies]) -> None:
    people = '[{"name": "Ida Berg", "DoB": "1990-04-01"}]'

    def answers(request: Seen) -> Reply:
        assert request.headers["authorization"] == "Bearer canary-openai"
        return {"api.openai.com/v1/chat/completions": Say(people)}[request.url.removeprefix("https://")]

    row = await run(world, "ai-function", answers, Arguments="1")
    assert outputs_of(row) == {"return": people} and row.warnings == []
    [asked] = world[1].seen
    assert asked.body["model"] == "o3-mini"
    system, user = asked.body["messages"]
    assert "def fake_people(n: int) -> list[dict]:" in system["content"] and user["content"] == "1"


async def test_flux_image_generator(world: tuple[Platform, Companies]) -> None:
    picture = "https://replicate.delivery/x/out.png"

    def answers(request: Seen) -> Reply:
        if request.host == "api.openai.com":
            return Say("A purple octopus, 85 mm lens.")
        assert request.headers["authorization"] == "Bearer canary-replicate"
        return {"/v1/models/black-forest-labs/flux-1.1-pro/predictions": (201, prediction(picture))}[
            urlsplit(request.url).path
        ]

    row = await run(world, "flux-image-generator", answers)
    assert outputs_of(row) == {"Generated Image": picture} and row.warnings == []
    asked, drawn = world[1].seen
    assert "Chief Automation Octopus" in prompt_of(asked)
    assert drawn.body["input"]["prompt"] == "A purple octopus, 85 mm lens."


def prediction(output: str) -> dict[str, Any]:
    """A prediction of Replicate's that has succeeded."""
    where = "https://api.replicate.com/v1/predictions/pr1"
    return {
        "id": "pr1",
        "model": "black-forest-labs/flux-1.1-pro",
        "version": "0" * 64,
        "input": {},
        "data_removed": False,
        "error": "",
        "created_at": "2026-03-01T10:00:00Z",
        "urls": {"get": where, "cancel": f"{where}/cancel", "web": "https://replicate.com/p/pr1"},
        "status": "succeeded",
        "output": output,
    }


async def test_lead_finder(world: tuple[Platform, Companies]) -> None:
    roasters = [
        {"place_id": f"p{number}", "name": f"Roaster {number}", "formatted_address": f"{number} High St", **more}
        for number, more in ((1, {"rating": 4.5, "user_ratings_total": 120}), (2, {}))
    ]
    details = {"p1": {"formatted_phone_number": "0131 555 0101", "website": "https://one.example"}, "p2": {}}

    def answers(request: Seen) -> Reply:
        assert query_of(request)["key"] == "canary-maps"
        if urlsplit(request.url).path == "/maps/api/place/textsearch/json":
            return {"status": "OK", "html_attributions": [], "results": roasters}
        return {"status": "OK", "html_attributions": [], "result": details[query_of(request)["place_id"]]}

    row = await run(world, "lead-finder", answers)
    assert outputs_of(row) == {
        "Name": ["Roaster 1", "Roaster 2"],
        "Address": ["1 High St", "2 High St"],
        "Phone Number": ["0131 555 0101", "N/A"],
        "Website": ["https://one.example", "N/A"],
        "Rating": ["4.5", "0"],
        "Number of Reviews": ["120", "0"],
    }
    assert row.warnings == []
    assert query_of(world[1].seen[0])["query"] == "Coffee Roasters in Edinburgh, UK"


async def test_medium_blogger(world: tuple[Platform, Companies]) -> None:
    post = {"TITLE": "The day the screens went blue", "CONTENT": "## This content is AI Generated\n\nIt was a Friday."}

    def answers(request: Seen) -> Reply:
        path = urlsplit(request.url).path
        if request.host == "api.medium.com":
            assert request.headers["authorization"] == "Bearer canary-medium"
        replies: dict[tuple[str, str], Reply] = {
            ("s.jina.ai", "/"): "[1] Title: A faulty update",
            ("api.openai.com", "/v1/chat/completions"): Say(json.dumps(post)),
            ("api.medium.com", "/v1/me"): {"data": {"id": "author1"}},
            ("api.medium.com", "/v1/users/author1/posts"): (
                201,
                {"data": {"id": "a1", "url": "https://medium.com/a1"}},
            ),
        }
        return replies[request.host, path]

    row = await run(world, "medium-blogger", answers)
    assert outputs_of(row) == {} and row.warnings == [], "the agent has no outputs: it publishes"
    assert query_of(world[1].asked("s.jina.ai")[0]) == {"q": "19th July 2024 Microsoft Blackout"}
    assert "A faulty update" in prompt_of(world[1].asked("api.openai.com")[0])
    published = world[1].asked("api.medium.com")[-1].body
    assert (published["title"], published["content"]) == (post["TITLE"], post["CONTENT"])


async def test_webpage_copy_improver(world: tuple[Platform, Companies]) -> None:
    def answers(request: Seen) -> Reply:
        if request.host == "r.jina.ai":
            assert unquote(urlsplit(request.url).path) == "/https://doors.example"
            return "Title: Doors\n\nWe sell doors."
        improving = "Rewrite and improve the content" in prompt_of(request)
        return {"api.openai.com": Say("<h1>Better doors</h1>" if improving else "Too plain.")}[request.host]

    row = await run(world, "webpage-copy-improver", answers, **{"Homepage URL": "https://doors.example"})
    assert outputs_of(row) == {"Original Page Analysis": "Too plain.", "Improved Webpage Copy": "<h1>Better doors</h1>"}
    assert row.warnings == []
    first, second = map(prompt_of, world[1].asked("api.openai.com"))
    assert "We sell doors." in first and "We sell doors." in second and "Too plain." in second


VIDEOS = ("aaaaaaaaaa1", "aaaaaaaaaa2", "aaaaaaaaaa3")


def youtube(request: Seen) -> Reply:
    """Videos whose captions say which one it is."""
    path = urlsplit(request.url).path
    if path == "/watch":
        return '<script>{"INNERTUBE_API_KEY":"public-key"}</script>'
    if path == "/youtubei/v1/player":
        track = {"baseUrl": f"https://www.youtube.com/api/timedtext?v={request.body['videoId']}", "languageCode": "en"}
        return {"captions": {"playerCaptionsTracklistRenderer": {"captionTracks": [track]}}}
    video = {"/api/timedtext": query_of(request)}[path]["v"]
    return f"<?xml version='1.0'?><transcript><text start='0'>This is {video}</text></transcript>"


def videos_found(request: Seen) -> Reply:
    """The list of videos, as a model finds it in a page of results."""
    if request.host == "www.youtube.com":
        return youtube(request)
    if request.host == "r.jina.ai":
        assert unquote(urlsplit(request.url).path).startswith("/https://www.youtube.com/results?search_query=")
        return "Results: " + " ".join(VIDEOS)
    assert request.headers["authorization"] == "Bearer canary-anthropic"
    if "YouTube video urls" in prompt_of(request):
        return Say(json.dumps({"list": [f"https://www.youtube.com/watch?v={video}" for video in VIDEOS]}))
    return {"api.anthropic.com": Say("Three videos, one lesson. #agents")}[request.host]


TRANSCRIPTS = ["Youtube Transcripts", *(f"This is {video}" for video in VIDEOS)]


async def test_youtube_transcript(world: tuple[Platform, Companies]) -> None:
    row = await run(world, "youtube-transcript", videos_found, **{"Number of Videos": 3})
    assert row.outputs == [("Transcripts", TRANSCRIPTS)]
    assert left_over(row) == {("6231dfea-c224-4029-ae8c-96873dfed078", "entry")}, "the list, ready for one more"


async def test_linkedin_post_generator(world: tuple[Platform, Companies]) -> None:
    row = await run(world, "linkedin-post-generator", videos_found, Topic="Looms")
    assert outputs_of(row) == {"Blog Post": "Three videos, one lesson. #agents"}
    asked = prompt_of(world[1].asked("api.anthropic.com")[-1])
    assert "The topic of the LinkedIn post is: Looms" in asked and all(video in asked for video in VIDEOS)
    assert left_over(row) == {("c0d0d5d5-221b-4ce7-911b-09e40442fd82", "entry")}, "the list, ready for one more"


def left_over(row: ExecutionRow) -> set[tuple[str, str]]:
    """What the run's end has left unused: (node, pin that it waited for)."""
    return {(each["node"], pin) for each in row.warnings for pin in each["waits_for"]}


CHECKED = """<results_summary>
 I checked 3 domains for you.
</results_summary>
<available>
hinge.com
portal.com
</available>
<unavailable>
door.com
</unavailable>
<error>
</error>
"""
"""What the agent's own script prints."""


def sandbox(request: Seen) -> Reply:
    """A sandbox in which code was run."""
    if request.host != "api.e2b.app":
        assert request.headers["x-access-token"] == "sandbox-token"
        assert 'DOMAINS_TEXT = """hinge.com,portal.com,door.com"""' in request.body["code"]
        return json.dumps({"type": "stdout", "text": CHECKED}) + "\n"
    assert request.headers["x-api-key"] == "canary-e2b"
    made = {"sandboxID": "sandbox1", "templateID": "code-interpreter-v1", "clientID": "c", "envdVersion": "0.2.0"}
    if request.method == "DELETE":
        return 204, ""
    return 201, {**made, "envdAccessToken": "sandbox-token"}


async def test_domain_name_finder(world: tuple[Platform, Companies]) -> None:
    ranked = "1. **hinge.com**\n2. **portal.com**"

    def answers(request: Seen) -> Reply:
        if request.host != "api.openai.com":
            return {"api.e2b.app": sandbox, "49999-sandbox1.e2b.app": sandbox}[request.host](request)
        if "domain valuation expert" in prompt_of(request):
            assert "hinge.com" in prompt_of(request) and "door.com" not in prompt_of(request)
            return Say(f"<product_analysis>Doors.</product_analysis>\n<domains>\n{ranked}\n</domains>")
        return Say("<domains>hinge.com,portal.com,door.com</domains>")

    row = await run(world, "domain-name-finder", answers, **{"Product Pitch": "A shop for doors"})
    assert set(outputs_of(row)) == {"Domain Suggestions"}
    assert "hinge.com" in row.outputs[0][1] and "I checked 3 domains for you." in row.outputs[0][1]
    assert left_over(row) == {
        ("0963256f-3d16-47b2-808c-91b6b2f88aee", "b"),
        ("74ae8dfb-4ec3-442d-a965-9fcc95fc8a48", "input"),
    }, "the counter of tries, which never began"
