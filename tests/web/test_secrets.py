"""No answer of any route holds a secret, nor the ciphertext that stands for it (K1, K3)."""

import json
from typing import Any

from tests.main.installs import INPUT, OUTPUT, TEMPLATE, agent
from tests.web.conftest import Client
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.features.graphs.document import AgentFile

TYPED, GIVEN, STORED, IN_HEADERS = CANARIES = [f"canary-{name}-6b07" for name in ("typed", "given", "stored", "header")]
WEB = "6595ae1f-b924-42cb-9a41-551a0611c4b4"
MEDIUM = "3f7b2dcb-4a78-4e3f-b0f1-88132e1b89df"
SECRETIVE = agent(
    {
        "typed": (INPUT, {"name": "typed", "value": TYPED, "secret": True}),
        "given": (INPUT, {"name": "given", "secret": True}),
        "join": (TEMPLATE, {"format": "{{a}} and {{b}} with {{password}}", "values_#_password": IN_HEADERS}),
        "web": (WEB, {"url": "http://10.0.0.1/", "headers": {"Authorization": f"Bearer {IN_HEADERS}"}}),
        "out": (OUTPUT, {"name": "got"}),
    },
    [
        ("typed", "result", "join", "values_#_a"),
        ("given", "result", "join", "values_#_b"),
        ("join", "output", "out", "value"),
        ("join", "output", "web", "body"),
    ],
    name="secretive",
)


async def told_by_every_route(client: Client, known: dict[str, str]) -> str:
    """What all routes that only look answer, tried with ids of things that are there."""
    document = await client.get("/openapi.json")
    told = []
    for path, methods in document["paths"].items():
        filled = path.format_map(known) if "get" in methods and _names(path) <= set(known) else ""
        if filled:
            answer = await client.http.get(filled)
            assert answer.status_code < 500, filled
            told.append(f"{filled}: {answer.text}")
    return "\n".join(told)


def _names(path: str) -> set[str]:
    return {part[1:-1] for part in path.split("/") if part.startswith("{")}


async def test_no_route_tells_secrets(client: Client) -> None:
    new = {"type": "api_key", "title": "mine", "secret": STORED}
    stored = await client.post("/api/v2/integrations/openai/credentials", new, status=201)
    graph = (await client.post("/api/v2/builder/graphs", SECRETIVE, status=201))["id"]
    run = await client.execute(SECRETIVE, given=GIVEN)
    shown: Any = await client.get(f"/api/v2/executions/{run['id']}")
    assert run["status"] == "FAILED" and "*** and *** with ***" in json.dumps(shown), "the run has used them"
    known = {"graph_id": graph, "execution_id": run["id"], "firing": "1", "credentials_id": stored["id"]}
    told = await told_by_every_route(client, known)
    assert told.count(run["id"]) > 2 and told.count(graph) > 2
    everything = told + json.dumps([run, shown, stored])
    assert [each for each in (*CANARIES, "treadle-secret.") if each in everything] == []


async def test_an_agent_is_edited_without_seeing_its_secrets(client: Client) -> None:
    graphs = "/api/v2/builder/graphs"
    first = await client.post(graphs, {**SECRETIVE, "id": "edited", "name": "edited"}, status=201)
    document = first["document"]
    assert document["nodes"][3]["input_default"]["headers"] == {"Authorization": "***"}
    document["nodes"][2]["input_default"]["format"] = "{{password}}!"
    second = await client.post(graphs, document, status=201)
    assert second["version"] == first["version"] + 1
    kept = await client.site.graphs.agent(LOCAL_WORKSPACE, second["id"])
    assert _secrets(kept) == _secrets(await client.site.graphs.agent(LOCAL_WORKSPACE, first["id"], first["version"]))
    outputs = (await client.execute(document, given=GIVEN))["outputs"]
    assert outputs == [{"name": "got", "value": "***!"}]


def _secrets(agent: AgentFile) -> list[Any]:
    nodes = {node.id: node.input_default for node in agent.nodes}
    return [nodes["typed"]["value"], nodes["join"]["values_#_password"], nodes["web"]["headers"]]
