"""Credentials of another workspace are as if they did not exist: when an agent is saved, shown and run (A8)."""

import json
import re
from pathlib import Path
from typing import Any

from tests.main.installs import agent
from tests.web.conftest import Client, MakeSomeone
from treadle.base.ids import uuid7

CREDENTIALS, GRAPHS = "/api/v2/integrations/credentials", "/api/v2/builder/graphs"
SEARCH = "87840993-2053-44b7-8da4-187ad4ee518c"
CANARY = "canary-foreign-90d2"


def searching(id: str) -> dict[str, Any]:
    chosen = {"id": id, "provider": "jina", "type": "api_key"}
    return agent({"search": (SEARCH, {"query": "doors", "credentials": chosen})}, name="searching")


def without(id: str, told: Any) -> str:
    """What was told, apart from the id itself."""
    return json.dumps(told).replace(id, "ID")


async def run_naming(client: Client, id: str) -> tuple[list[str], str]:
    """The warnings and the failure of an agent that names these credentials."""
    graph = await client.post(GRAPHS, searching(id), status=201)
    run = await client.post(f"{GRAPHS}/{graph['id']}/execute?wait=30", {"input_data": {}})
    shown = await client.get(f"/api/v2/executions/{run['id']}")
    assert run["status"] == "FAILED" and CANARY not in json.dumps([graph, run, shown])
    warnings = [each["message"] + each["fix"] for each in graph["problems"] if each["code"] == "unknown_credentials"]
    return warnings, without(id, shown["failures"])


async def choosing(client: Client, id: str) -> str:
    """What a person is told who chooses these credentials for one run."""
    graph = (await client.post(GRAPHS, agent({"search": (SEARCH, {"query": "doors"})}), status=201))["id"]
    chosen = {"jina_api_key_credentials": {"id": id, "provider": "jina", "type": "api_key"}}
    refused = await client.post(f"{GRAPHS}/{graph}/execute", {"credentials": chosen}, status=422)
    return without(id, refused["error"])


async def told_about(client: Client, id: str) -> list[Any]:
    """All that somebody is told who asks for these credentials, or names them."""
    told: list[Any] = [await run_naming(client, id), await choosing(client, id)]
    for method in ("GET", "PATCH", "DELETE"):
        answer = await client.http.request(method, f"{CREDENTIALS}/{id}", json={} if method == "PATCH" else None)
        assert answer.status_code == 404
        told.append(without(id, answer.json()["error"]["message"]))
    return told


async def test_an_id_of_others_is_treated_like_one_of_nobody(client: Client, someone: MakeSomeone) -> None:
    new = {"type": "api_key", "title": "mine", "secret": CANARY}
    stored = (await client.post("/api/v2/integrations/jina/credentials", new, status=201))["id"]
    stranger = (await someone()).client
    foreign, nobodys = await told_about(stranger, stored), await told_about(stranger, str(uuid7()))
    assert _steady(foreign) == _steady(nobodys) and "no jina credentials" in foreign[0][1] and len(foreign[0][0]) == 1
    assert stored not in [each["id"] for each in (await stranger.get(CREDENTIALS))["credentials"]]
    row = await client.get(f"{CREDENTIALS}/{stored}")
    assert row["last_used_at"] is None, "nobody has used them"
    await client.http.delete(f"{CREDENTIALS}/{stored}?force=true")


def _steady(told: list[Any]) -> str:
    """Without ids of runs and times, which differ anyway."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+", "", json.dumps(told))


async def test_a_strangers_run_does_not_spend_the_operators_keys(
    client: Client, someone: MakeSomeone, install: Path
) -> None:
    file = install / "credentials.json"
    entry = {"id": "lent", "provider": "jina", "type": "api_key", "secret": CANARY}
    file.touch(mode=0o600)
    file.write_text(json.dumps({"credentials": [entry]}))
    try:
        stranger = (await someone()).client
        assert (await stranger.get(CREDENTIALS))["provided"] == []
        warnings, failure = await run_naming(stranger, "lent")
        assert len(warnings) == 1 and "no jina credentials" in failure and str(install) not in failure
    finally:
        file.unlink()
