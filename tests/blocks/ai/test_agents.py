"""The AI nodes of exported agents run as they are, each against its own provider's protocol."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sdk.models.asking import context
from tests.sdk.models.servers import ProviderServer, Say
from tests.shared_files import SHARED, needs_shared
from treadle.blocks.ai import BLOCKS
from treadle.sdk.block import Block
from treadle.sdk.models.calls import resolve
from treadle.sdk.testing import run_block

AGENTS = SHARED / "agents"
BY_ID: dict[str, Block] = {block.id: block for block in BLOCKS}
ANSWERS = {"AITextGeneratorBlock": "Fine.", "AIListGeneratorBlock": '["a", "b"]'}


def nodes() -> Iterator[Any]:
    for file in sorted(AGENTS.glob("*.json")):
        agent = json.loads(file.read_text(encoding="utf-8"))
        for graph in [agent, *agent.get("sub_graphs", [])]:
            for node in graph["nodes"]:
                if node["block_id"] in BY_ID:
                    pins = [link["sink_name"] for link in graph["links"] if link["sink_id"] == node["id"]]
                    yield pytest.param(node, pins, id=f"{file.stem}-{node['id'][:8]}")


@needs_shared(AGENTS)
@pytest.mark.parametrize(("node", "linked"), list(nodes()))
async def test_the_node_runs_unchanged(server: ProviderServer, node: dict[str, Any], linked: list[str]) -> None:
    block = BY_ID[node["block_id"]]
    constants = node["input_default"]
    inputs = {**constants, **dict.fromkeys(linked, "Tom & Jerry's <looms>")}
    model = constants.get("model") or block.reader.pins["model"].default
    keys = constants.get("expected_format", {})
    server.will(Say(ANSWERS.get(block.name) or json.dumps(dict.fromkeys(keys, "text"))))

    outputs = dict(await run_block(block, inputs, context(server, resolve(model, None)[0].name)))

    assert outputs
    assert "error" not in outputs
    if any(pin.startswith("prompt_values") for pin in linked):
        assert "Tom & Jerry's <looms>" in json.dumps(server.bodies[0], ensure_ascii=False)
        assert "{{" not in json.dumps(server.bodies[0]["messages"])
