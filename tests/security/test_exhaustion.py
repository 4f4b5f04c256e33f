"""Templates, patterns and graphs that would never end, or fill everything, are ended (cases R6, D1 to D4)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import isolated_settings
from tests.e2e.deciding import AGENT, INPUT, OUTPUT, agent, node, read
from tests.e2e.platforms import new_home
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, GraphId
from treadle.blocks.catalogue import ALL_BLOCKS
from treadle.features.graphs.service import InvalidAgent
from treadle.kernel.states import Status
from treadle.main.wiring import Platform, running_platform
from treadle.sdk.registry import Registry

pytestmark = pytest.mark.asyncio(loop_scope="module")
FIRINGS = 1_000
DEPTH = 8
PATIENCE = 60.0
FILL = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30"
STORE = "1ff065e9-88e8-4358-9d82-8dc91f622ba9"
FOR_EACH = "6e1444a9-0576-4866-a61e-2b16ed5d2b85"
MATCH = Registry(ALL_BLOCKS).by_name("MatchTextPatternBlock").id
EXTRACT = Registry(ALL_BLOCKS).by_name("CodeExtractionBlock").id
STEP = Registry(ALL_BLOCKS).by_name("StepThroughItemsBlock").id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform() -> AsyncIterator[Platform]:
    """A platform with small budgets."""
    with new_home() as home, pytest.MonkeyPatch.context() as patch:
        async with running_platform(_settings(home, patch)) as running:
            yield running


def _settings(home: Path, patch: pytest.MonkeyPatch) -> Any:
    return isolated_settings(home, patch).model_copy(update={"max_firings": FIRINGS, "max_depth": DEPTH})


async def start(platform: Platform, document: dict[str, Any]) -> ExecutionId:
    row = await platform.graphs.save(LOCAL_WORKSPACE, read(document))
    return await platform.executions.start(LOCAL_WORKSPACE, GraphId(row.id), {})


async def run(platform: Platform, document: dict[str, Any]) -> Any:
    return await over(platform, await start(platform, document))


async def over(platform: Platform, id: ExecutionId) -> Any:
    return await asyncio.wait_for(platform.worker.finished(LOCAL_WORKSPACE, id), PATIENCE)


def one(block: str, out: str, **constants: Any) -> dict[str, Any]:
    """An agent that is one use of a block and the output ``out``."""
    return agent([node("one", block, **constants), node("out", OUTPUT, name="got")], [f"one.{out} > out.value"])


HELLO = one(STORE, "output", input="hello")
BOMBS = (
    "{{ 9**(9**9) }}",
    "{{ 'a' * 10**10 }}",
    "{{ 'a' * 999999999 * 999999999 }}",
    "{{ ('a' * 1000000) * 1000000 }}",
    "{{ [0] * 10**10 }}",
    "{{ 'a'|center(9999999999) }}",
    "{{ 'a'|indent(9999999999) }}",
    "{% set l = ['x'] %}{% for i in l %}{% set _ = l.append('x') %}{% endfor %}",
    "{% for i in v %}{% for j in v %}{% for k in v %}{{ i ~ j ~ k }}{% endfor %}{% endfor %}{% endfor %}",
    "{% set x = 'aaaaaaaaaa' %}" + "{% set x = x ~ x ~ x ~ x ~ x ~ x ~ x ~ x %}" * 12 + "{{ x }}",
    "{{ 1 << 99999999999 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '{:>999999999}'.format(1) }}",
)


@pytest.mark.parametrize("template", BOMBS)
async def test_r6_a_template_that_burns_time_or_memory_fails_and_others_go_on(
    platform: Platform, template: str
) -> None:
    bomb = await start(platform, one(FILL, "output", format=template, values={"v": list(range(1_000))}))
    assert (await run(platform, HELLO)).outputs == [("got", "hello")]
    assert (await over(platform, bomb)).status is Status.FAILED


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(a|a)*$", r"(a|aa)+$", r"(.*a){25}$", r"((a*)*)*$", r"(?=(a+))\1+$", r"(a+)\1+$"]
)
async def test_d2_no_pattern_holds_up_the_engine(platform: Platform, pattern: str) -> None:
    slow = await start(platform, one(MATCH, "negative", match=pattern, text="a" * 50 + "!", data="d"))
    assert (await run(platform, HELLO)).outputs == [("got", "hello")]
    assert (await over(platform, slow)).status in (Status.COMPLETED, Status.FAILED)


@pytest.mark.parametrize("text", [" " * 100_000, "```python\n" + " " * 100_000, "```python\n" * 20_000, "`" * 100_000])
async def test_d1_code_extraction_takes_any_text(platform: Platform, text: str) -> None:
    row = await run(platform, one(EXTRACT, "remaining_text", text=text))
    assert row.status is Status.COMPLETED


async def test_d3_an_endless_loop_ends_at_the_budget(platform: Platform) -> None:
    nodes = [node("first", STORE, input="x"), node("again", STORE)]
    document = agent(nodes, ["first.output > again.input", "again.output > again.input"])
    row = await run(platform, document)
    assert row.status is Status.FAILED
    assert f"budget of {FIRINGS:,} firings" in row.error


def calling(id: str, *graphs: str) -> dict[str, Any]:
    """An agent that runs those agents."""
    return agent([node(f"n{i}", AGENT, graph_id=each, graph_version=1) for i, each in enumerate(graphs)], [], id=id)


async def test_d3_agents_that_run_each_other_are_not_saved(platform: Platform) -> None:
    one, two = (f"00000000-0000-7000-8000-00000000000{number}" for number in (1, 2))
    with pytest.raises(InvalidAgent, match="runs itself"):
        await platform.graphs.save(LOCAL_WORKSPACE, read({**calling(one, two), "sub_graphs": [calling(two, one)]}))


async def test_d3_an_agent_that_is_told_its_own_id_ends_at_the_depth(platform: Platform) -> None:
    id = "00000000-0000-7000-8000-000000000003"
    nodes = [
        node("in", INPUT, name="agent", value=id),
        node("each", FOR_EACH, items=[id], input_name="agent", continue_on_error=False),
    ]
    row = await run(platform, agent(nodes, ["in.result > each.graph_id"], id=id))
    assert row.status is Status.FAILED
    assert f"deeper than {DEPTH} levels" in row.error


async def test_d4_lists_inside_lists_end_at_the_budget(platform: Platform) -> None:
    items = list(range(100))
    nodes = [node("n0", STEP, items=items), *(node(f"n{i}", STEP) for i in range(1, 4))]
    fills = [node(f"f{i}", FILL, format=str(items)) for i in range(1, 4)]
    joined = [f"n{i - 1}.item > f{i}.values_#_x" for i in range(1, 4)] + [
        f"f{i}.output > n{i}.items_str" for i in range(1, 4)
    ]
    row = await run(platform, agent([*nodes, *fills], joined))
    assert row.status is Status.FAILED
    assert "budget" in row.error
    assert row.firings < FIRINGS * 200


async def test_d4_for_each_counts_into_the_same_budget(platform: Platform) -> None:
    sub = agent([node("in", INPUT, name="item"), node("out", OUTPUT, name="got")], ["in.result > out.value"])
    await platform.graphs.save(LOCAL_WORKSPACE, read(sub))
    each = node("each", FOR_EACH, items=list(range(FIRINGS)), graph_id=sub["id"], input_name="item", concurrency=5)
    row = await run(platform, agent([each], []))
    assert row.status is Status.FAILED
    assert "budget" in row.error
