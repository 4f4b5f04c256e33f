"""A block that is switched off runs through no door: graph, sub-agent, tool, For Each (cases R1, R2)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import isolated_settings
from tests.e2e.deciding import AGENT, OUTPUT, OnlyModels, agent, node, read
from tests.e2e.platforms import new_home
from tests.sdk.models.servers import ProviderServer, Say, provider_server
from treadle.base.errors import Forbidden
from treadle.base.ids import LOCAL_WORKSPACE, BlockId, GraphId
from treadle.features.executions.listing import RunFilter
from treadle.features.executions.starting import WantedBlock
from treadle.features.graphs.service import InvalidAgent
from treadle.kernel.states import Status
from treadle.main.wiring import Platform, running_platform
from treadle.sdk.block import Block, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin

pytestmark = pytest.mark.asyncio(loop_scope="module")
FOR_EACH = "6e1444a9-0576-4866-a61e-2b16ed5d2b85"
DECIDE = "3b191d9f-356f-482d-8238-ba04b6d18381"
RAN: list[str] = []
"""What ran although it may not."""


class Anything(Inputs):
    value: Any = pin("Anything.", default=None)


class Result(Outputs):
    value: Any = pin("Anything.")


@block(id="forbidden-effect", name="ForbiddenEffectBlock", outputs=Result, work=Work.EFFECT)
async def effect(inputs: Anything, ctx: Context) -> Stream:
    """Must not run."""
    RAN.append("effect")
    yield "value", inputs.value


@block(id="forbidden-short", name="ForbiddenShortBlock", outputs=Result, work=Work.PURE, short=True)
async def short(inputs: Anything, ctx: Context) -> Stream:
    """Must not run, not even in the engine's own loop."""
    RAN.append("short")
    yield "value", inputs.value


BLOCKS: tuple[Block, ...] = (effect, short)
World = tuple[Platform, ProviderServer]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    """A platform whose operator has switched both off, one by its name and one by its id."""
    with new_home() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "canary")
        settings = _settings(home, patch)
        async with provider_server() as server, running_platform(settings, BLOCKS) as platform:
            platform.doors.http = OnlyModels(server)  # type: ignore[assignment]
            yield platform, server


def _settings(home: Path, patch: pytest.MonkeyPatch) -> Any:
    off = frozenset({"ForbiddenEffectBlock", "forbidden-short"})
    return isolated_settings(home, patch).model_copy(update={"disabled_blocks": off})


def holding(block_id: str, id: str = "") -> dict[str, Any]:
    """An agent that is one use of a block."""
    nodes = [node("bad", block_id, value="x"), node("out", OUTPUT, name="got")]
    return agent(nodes, ["bad.value > out.value"], id=id)


async def forced(platform: Platform, document: dict[str, Any]) -> Any:
    """Run it past the check at the start, as an upgrade or a message in the queue might."""
    row = await platform.graphs.save(LOCAL_WORKSPACE, read(document))
    plan, bound = await platform.graphs.prepare(LOCAL_WORKSPACE, GraphId(row.id), row.version, {})
    id = await platform.worker.submit(LOCAL_WORKSPACE, plan, bound)
    return await platform.worker.finished(LOCAL_WORKSPACE, id)


@pytest.mark.parametrize("block_id", [each.id for each in BLOCKS])
async def test_an_agent_with_it_does_not_start(world: World, block_id: str) -> None:
    platform, _ = world
    row = await platform.graphs.save(LOCAL_WORKSPACE, read(holding(block_id)))
    with pytest.raises(InvalidAgent, match="may not run here"):
        await platform.executions.start(LOCAL_WORKSPACE, GraphId(row.id), {})


@pytest.mark.parametrize("block_id", [each.id for each in BLOCKS])
async def test_it_does_not_run_by_itself(world: World, block_id: str) -> None:
    RAN.clear()
    before = await world[0].executions.lists.page(LOCAL_WORKSPACE, RunFilter(), limit=1)
    with pytest.raises(Forbidden, match="may not run here"):
        await world[0].executions.start_block(LOCAL_WORKSPACE, WantedBlock(BlockId(block_id), {"value": "x"}))
    assert await world[0].executions.lists.page(LOCAL_WORKSPACE, RunFilter(), limit=1) == before
    assert RAN == []


@pytest.mark.parametrize("block_id", [each.id for each in BLOCKS])
async def test_in_a_graph_that_runs_all_the_same_the_node_fails(world: World, block_id: str) -> None:
    RAN.clear()
    row = await forced(world[0], holding(block_id))
    assert (row.status, RAN) == (Status.FAILED, [])
    assert "switched off here" in row.error


@pytest.mark.parametrize("block_id", [each.id for each in BLOCKS])
async def test_in_a_sub_agent(world: World, block_id: str) -> None:
    RAN.clear()
    sub = holding(block_id)
    parent = agent(
        [node("sub", AGENT, graph_id=sub["id"], graph_version=1, output_schema={"properties": {"got": {}}})],
        [],
        subs=[sub],
    )
    saved = await world[0].graphs.save(LOCAL_WORKSPACE, read(parent))
    with pytest.raises(InvalidAgent, match="may not run here"):
        await world[0].executions.start(LOCAL_WORKSPACE, GraphId(saved.id), {})
    row = await forced(world[0], parent)
    assert (row.status, RAN) == (Status.FAILED, [])
    assert "switched off here" in row.error


@pytest.mark.parametrize("block_id", [each.id for each in BLOCKS])
async def test_through_for_each(world: World, block_id: str) -> None:
    RAN.clear()
    platform, _ = world
    sub = holding(block_id)
    sub["nodes"].append(node("in", "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", name="item"))
    await platform.graphs.save(LOCAL_WORKSPACE, read(sub))
    each = node("each", FOR_EACH, items=[1, 2], graph_id=sub["id"], input_name="item", continue_on_error=False)
    row = await forced(platform, agent([each], []))
    assert (row.status, RAN) == (Status.FAILED, [])
    assert "switched off here" in row.error


@pytest.mark.parametrize("block_id", [each.id for each in BLOCKS])
async def test_as_a_tool_of_a_model(world: World, block_id: str) -> None:
    RAN.clear()
    platform, server = world
    server.will(Say(calls=[("tool", '{"value": "x"}')]), Say("It is not allowed."))
    decide = node("decide", DECIDE, model="gpt-4o-mini", prompt="Use it.", agent_mode_max_iterations=3)
    tool = node("tool", block_id, "Tool")
    row = await forced(platform, agent([decide, tool], ["decide.tools > tool.value"]))
    assert (row.status, RAN) == (Status.COMPLETED, [])
    assert "switched off here" in server.bodies[-1]["messages"][-1]["content"]
