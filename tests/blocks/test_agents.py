"""Sub-agents: outputs are relayed as they come, once each, and a failure is a failure."""

from typing import Any

import pytest

from treadle.blocks.agents import run_agent
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import AgentScript, ScriptedAgents, attempt, make_context, run_block

NODE: dict[str, Any] = {"graph_id": "child", "graph_version": 3, "inputs": {"a": 1, "b": 2}, "b": 3, "user_id": "u"}


async def test_outputs_are_relayed_and_pins_win_over_values() -> None:
    agents = ScriptedAgents({"child": AgentScript([("r", "A"), ("r", None), ("s", 1)])})
    assert await run_block(run_agent, NODE, make_context(agents=agents)) == [("r", "A"), ("r", None), ("s", 1)]
    started = agents.started[0]
    assert (started.graph, started.version, started.inputs, started.slot) == ("child", 3, {"a": 1, "b": 3}, 0)


async def test_what_was_sent_before_a_crash_is_not_sent_again() -> None:
    context = make_context(agents={"child": AgentScript([("r", 1), ("r", 2)])}, emitted=1)
    assert await run_block(run_agent, NODE, context) == [("r", 2)]


async def test_a_failed_agent_fails_the_node_after_its_outputs() -> None:
    context = make_context(agents={"child": AgentScript([("r", 1)], failure="it broke")})
    outcome = await attempt(run_agent, NODE, context)
    assert outcome.outputs == [("r", 1)]
    assert outcome.error is not None
    assert "it broke" in outcome.error.message


async def test_values_of_inner_nodes_are_not_replaced_quietly() -> None:
    agents = ScriptedAgents({"child": AgentScript()})
    with pytest.raises(BlockError, match="nodes_input_masks"):
        await run_block(run_agent, {**NODE, "nodes_input_masks": {"n": {"a": 1}}}, make_context(agents=agents))
    assert agents.started == []
