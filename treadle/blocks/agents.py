"""Agents inside agents."""

from typing import Any

from treadle.base.ids import GraphId
from treadle.sdk.block import BlockKind, Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import InputRefused
from treadle.sdk.pins import Inputs, Outputs, pin


class SubAgent(Inputs):
    """Pins of a sub-agent. Its own inputs are pins too: what arrives there wins over the values in ``inputs``."""

    user_id: str = pin("Kept from imported agents; not used.", default="", hidden=True)
    graph_id: str = pin("Which agent is run.")
    graph_version: int = pin("Which version of it.")
    agent_name: str | None = pin("The agent's name, for people.", default=None)
    inputs: dict[str, Any] = pin("Values for the agent's inputs, by name.", default_factory=dict, advanced=False)
    input_schema: dict[str, Any] = pin("The agent's inputs.", default_factory=dict, hidden=True)
    output_schema: dict[str, Any] = pin("The agent's outputs.", default_factory=dict, hidden=True)
    nodes_input_masks: dict[str, Any] | None = pin("Values for nodes inside the agent.", default=None, hidden=True)


class SubAgentOutputs(Outputs):
    """The outputs are those of the agent that is run."""


@block(
    id="e189baac-8c20-45a1-94a7-55177ea42565",
    name="AgentExecutorBlock",
    outputs=SubAgentOutputs,
    kind=BlockKind.AGENT,
    work=Work.EFFECT,
    streaming=True,
    resumable=True,
    dynamic_inputs=True,
    dynamic_outputs=True,
    categories=("AGENT",),
    examples=(
        Example(
            {"graph_id": "translator", "graph_version": 2, "inputs": {"language": "nb"}, "text": "Hello"},
            [("translation", "Hei")],
            title="The agent's own inputs are pins",
            context={"agents": {"translator": {"outputs": [("translation", "Hei")]}}},
        ),
    ),
)
async def run_agent(inputs: SubAgent, ctx: Context) -> Stream:
    """Run another agent as a step of this one. Its outputs are sent on as they come; if it fails, this step fails."""
    if inputs.nodes_input_masks:
        raise InputRefused(
            {"nodes_input_masks": "values of nodes inside the agent cannot be replaced from outside"},
            fix="Make them inputs of the agent, or edit the agent.",
        )
    values = {**inputs.inputs, **(inputs.model_extra or {})}
    run = await ctx.agents.start(GraphId(inputs.graph_id), inputs.graph_version, values)
    position = 0
    async for name, value in run.outputs():
        position += 1
        if position > ctx.emitted:
            yield name, value


BLOCKS = (run_agent,)
