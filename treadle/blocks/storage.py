"""Values that outlive a run: kept for one agent, or for all agents of the workspace."""

from enum import Enum
from typing import Any

from treadle.kernel.values import clean_text
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin


class Scope(Enum):
    """Who shares a stored value."""

    WITHIN_AGENT = "within_agent"
    ACROSS_AGENTS = "across_agents"


class ValueToKeep(Inputs):
    """Pins of storing a value."""

    key: str = pin("The name under which the value is kept.")
    value: Any = pin("The value to keep.")
    scope: Scope = pin("Keep it for this agent only, or for all your agents.", default=Scope.WITHIN_AGENT)


class KeptValue(Outputs):
    """The stored value."""

    value: Any = pin("The value as it is kept.")


@block(
    id="1d055e55-a2b9-4547-8311-907d05b0304d",
    name="PersistInformationBlock",
    outputs=KeptValue,
    work=Work.EFFECT,
    categories=("DATA",),
    examples=(
        Example({"key": "last_page", "value": 7}, [("value", 7)]),
        Example({"key": "count", "value": 0, "scope": "across_agents"}, [("value", 0)], title="For all agents"),
    ),
)
async def persist_information(inputs: ValueToKeep, ctx: Context) -> Stream:
    """Keep a value under a name, so that later runs can read it. An older value under the name is replaced."""
    value = clean_text(inputs.value)
    await ctx.storage.set(_address(inputs.scope, inputs.key, ctx), value)
    yield "value", value


class ValueToFind(Inputs):
    """Pins of reading a stored value."""

    key: str = pin("The name under which the value was kept.")
    scope: Scope = pin(
        "Look among this agent's values, or among those for all your agents.", default=Scope.WITHIN_AGENT
    )
    default_value: Any = pin("What to give when nothing is kept under the name.", default=None)


@block(
    id="d8710fc9-6e29-481e-a7d5-165eb16f8471",
    name="RetrieveInformationBlock",
    outputs=KeptValue,
    work=Work.READ,
    static_output=True,
    categories=("DATA",),
    examples=(
        Example({"key": "last_page"}, [("value", 7)], context={"storage": {"agent#graph-1#last_page": 7}}),
        Example({"key": "other", "default_value": 1}, [("value", 1)], title="Nothing is kept under the name"),
    ),
)
async def retrieve_information(inputs: ValueToFind, ctx: Context) -> Stream:
    """Read a value that this or an earlier run has kept; a default when there is none."""
    value = await ctx.storage.get(_address(inputs.scope, inputs.key, ctx))
    yield "value", inputs.default_value if value is None else value


def _address(scope: Scope, key: str, ctx: Context) -> str:
    return f"global#{key}" if scope is Scope.ACROSS_AGENTS else f"agent#{ctx.graph}#{key}"


BLOCKS = (persist_information, retrieve_information)
