"""Agent files over HTTP: they come in with a report, and go out in a form for version control."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.main.installs import GREETING, INPUT, TEMPLATE, agent
from tests.web.conftest import Client
from treadle.base.ids import LOCAL_WORKSPACE, GraphId

IMPORT = "/api/v2/library/import"
FILES = (
    "ai-function.json",
    "domain-name-finder.json",
    "flux-image-generator.json",
    "lead-finder.json",
    "linkedin-post-generator.json",
    "medium-blogger.json",
    "webpage-copy-improver.json",
    "youtube-transcript.json",
)


async def _export(client: Client, id: str) -> str:
    answer = await client.http.get(f"/api/v2/library/agents/{id}/export")
    assert answer.status_code == 200
    return answer.text


async def _imported(client: Client, text: str, **query: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    answer = await client.http.post(IMPORT, content=text.encode(), params=query, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.parametrize("name", FILES)
async def test_agents_exported_elsewhere_are_imported_and_come_back_the_same(
    client: Client, shared: Path, name: str
) -> None:
    report = await _imported(client, (shared / "agents" / name).read_text(encoding="utf-8"))
    assert (report["missing_blocks"], report["missing_agents"]) == ([], [])
    assert report["agent"]["name"]
    exported = await _export(client, report["agent"]["id"])
    for _ in range(2):
        again = await _imported(client, exported)
        assert again["agent"]["id"] == report["agent"]["id"]
        assert await _export(client, again["agent"]["id"]) == exported
    assert again["outcome"] == "unchanged"


async def test_a_file_is_told_of_in_whole(client: Client) -> None:
    document = agent(
        {
            "in": (INPUT, {"name": "who"}),
            "odd": ("99999999-0000-4000-8000-000000000000", {"x": 1}),
            "ai": ("1f292d4a-41a4-4977-9684-7c8d560b9f91", {"prompt": "Hello", "model": "gpt-4o"}),
        },
        [("in", "result", "odd", "x")],
        id=str(uuid4()),
        flavour="sweet",
    )
    report = await _imported(client, json.dumps(document))
    assert report["outcome"] == "created"
    assert report["missing_blocks"] == [{"id": "99999999-0000-4000-8000-000000000000", "name": ""}]
    assert [each["key"] for each in report["missing_credentials"]] == ["openai_api_key_credentials"]
    assert any("flavour" in note for note in report["notes"])
    assert report["agent"]["needs_credentials"] is True
    assert {each["code"] for each in report["agent"]["problems"]} >= {"unknown_block"}


async def test_a_file_is_put_into_a_folder_and_its_copy_elsewhere(client: Client) -> None:
    folder = (await client.post("/api/v2/library/folders", {"name": str(uuid4())}, status=201))["id"]
    text = json.dumps({**GREETING, "id": str(uuid4())})
    first = await _imported(client, text, folder_id=folder)
    assert first["agent"]["folder_id"] == folder
    copy = await _imported(client, text, existing="copy")
    assert copy["agent"]["id"] != first["agent"]["id"]
    headers = {"Idempotency-Key": str(uuid4())}
    made = [
        await client.post(f"{IMPORT}?existing=copy", json.loads(text), status=201, headers=headers) for _ in range(2)
    ]
    assert made[0] == made[1]


async def test_the_body_of_the_other_platforms_import_is_understood(client: Client) -> None:
    body = {"graph": {**GREETING, "id": str(uuid4())}, "source": "upload"}
    assert (await _imported(client, json.dumps(body)))["agent"]["name"] == "greeting"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "bad_agent_file"),
        (b"[]", "bad_agent_file"),
        (b'{"nodes": [{}]}', "bad_agent_file"),
        (b'{"nodes": [{"id": "a", "block_id": "b"}, {"id": "a", "block_id": "b"}]}', "invalid_agent"),
    ],
)
async def test_what_is_no_agent_is_refused_with_everything_that_is_wrong(
    client: Client, content: bytes, reason: str
) -> None:
    answer = await client.http.post(IMPORT, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    details = answer.json()["error"]["details"]
    assert details["reason"] == reason
    assert details["problems"]


async def test_an_export_is_made_for_git(client: Client) -> None:
    graph = str(uuid4())

    def version(text: str) -> dict[str, Any]:
        return {
            **GREETING,
            "id": graph,
            "nodes": [{**GREETING["nodes"][1], "input_default": {"format": text}}],
            "links": [],
        }

    first = await _imported(client, json.dumps(version("Hello")))
    before = await _export(client, first["agent"]["id"])
    await _imported(client, json.dumps(version("Good bye")))
    after = await _export(client, first["agent"]["id"])
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    changed = [(old.strip(), new.strip()) for old, new in pairs if old != new]
    assert changed == [('"format": "Hello"', '"format": "Good bye"')]
    assert before.endswith("}\n")
    assert await client.get(f"/api/v2/library/agents/{first['agent']['id']}/export?version=1") == json.loads(before)
    answer = await client.http.get(f"/api/v2/library/agents/{first['agent']['id']}/export")
    assert "greeting.json" in answer.headers["content-disposition"]


async def test_secrets_stay_here(client: Client) -> None:
    graph = str(uuid4())
    document = agent(
        {"in": (INPUT, {"name": "k", "secret": True, "value": "sk-canary"}), "t": (TEMPLATE, {})}, id=graph
    )
    report = await _imported(client, json.dumps(document))
    assert "sk-canary" not in json.dumps(report)
    assert "sk-canary" not in await _export(client, report["agent"]["id"])
    assert "treadle-secret" not in json.dumps(report) + await _export(client, report["agent"]["id"])
    stranger = json.loads(json.dumps(document).replace("sk-canary", "***"))
    told = await _imported(client, json.dumps(stranger))
    assert told["outcome"] == "new_version"
    assert told["notes"] == ["Files hold no secrets: enter again what the version before has at in (value)"]
    file = await client.site.graphs.agent(LOCAL_WORKSPACE, GraphId(graph))
    assert "value" not in file.nodes[0].input_default, "three stars in a stranger's file bring no secret back"
