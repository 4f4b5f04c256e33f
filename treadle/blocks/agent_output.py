"""Outputs of an agent: what its run gives back."""

from typing import Any

from treadle.sdk.block import BlockKind, Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.templates import TemplateFailed, render


class AgentOutput(Inputs):
    """Pins of an output of the agent."""

    value: Any = pin("What the agent gives back.", default=None, advanced=False)
    name: str = pin("The output's name.")
    title: str | None = pin("What is shown instead of the name.", default=None)
    description: str | None = pin("What the output is.", default=None)
    format: str = pin("A Jinja template for the output; it sees the value under the output's name.", default="")
    escape_html: bool = pin("Make the values in the template safe to show as HTML.", default=False)
    advanced: bool = pin("Show the output only among the advanced ones.", default=False)
    secret: bool = pin("Keep the value out of records, logs and exports.", default=False)


class AgentOutputResult(Outputs):
    """The output, for a calling agent and for links that go on from here."""

    output: Any = pin("The value, or the text of the template.")
    name: Any = pin("The output's name; only sent without a template.")


@block(
    id="363ae599-353e-4804-937e-b2ee3cef3da4",
    name="AgentOutputBlock",
    outputs=AgentOutputResult,
    kind=BlockKind.OUTPUT,
    work=Work.PURE,
    static_output=True,
    categories=("BASIC", "OUTPUT"),
    examples=(
        Example({"name": "answer", "value": 42}, [("output", 42), ("name", "answer")]),
        Example(
            {"name": "city", "value": "Oslo", "format": "We go to {{ city }}."},
            [("output", "We go to Oslo.")],
            title="A template shapes the output",
        ),
    ),
)
async def agent_output(inputs: AgentOutput, ctx: Context) -> Stream:
    """A named output of the agent. A template may shape it; one that cannot be filled in gives its error as text."""
    if not inputs.format:
        yield "output", inputs.value
        yield "name", inputs.name
        return
    yield "output", await _formatted(inputs, ctx)


async def _formatted(inputs: AgentOutput, ctx: Context) -> str:
    values = {inputs.name: inputs.value}
    try:
        return await render(inputs.format, values, ctx.compute, escape_html=inputs.escape_html)
    except TemplateFailed as failure:
        return f"Error: {failure.fault}, {inputs.value}"


BLOCKS = (agent_output,)
