"""What goes over the external API."""

from uuid import UUID

from pydantic import Field

from treadle.features.accounts.access import Role, Scope
from treadle.kernel.states import Status
from treadle.web.bodies import Answer, Json, JsonObject, Pagination, Request


class ExternalMe(Answer):
    """Whose key it is."""

    id: UUID
    email: str | None
    name: str
    workspace_id: UUID
    role: Role
    scopes: list[Scope]
    """What the key may be used for; empty for a sign-in, which may be used for everything."""


class ExternalBlock(Answer):
    """A block."""

    id: str
    name: str
    description: str
    categories: list[str]
    input_schema: JsonObject
    output_schema: JsonObject


class ExternalBlockRequest(Request):
    """Run a block."""

    input_data: dict[str, Json] = {}
    """Values for its pins, by name."""


class ExternalBlockList(Answer):
    """The blocks of this install that may be used."""

    blocks: list[ExternalBlock]


class ExternalGraph(Answer):
    """An agent."""

    id: str
    version: int
    """The one that runs when none is named."""
    name: str
    description: str


class ExternalGraphList(Answer):
    """The agents of the workspace."""

    graphs: list[ExternalGraph]
    pagination: Pagination


class ExternalGraphDetail(ExternalGraph):
    """An agent, with what it takes and gives."""

    input_schema: JsonObject
    output_schema: JsonObject


class ExternalExecuteRequest(Request):
    """Run an agent."""

    input_data: dict[str, Json] = {}
    """Values for the agent's inputs, by name."""
    node_input: dict[str, Json] = {}
    """The same, by the name that clients of the AutoGPT platform use; ``input_data`` wins."""

    @property
    def inputs(self) -> dict[str, Json]:
        """All values."""
        return {**self.node_input, **self.input_data}


class ExternalResults(Answer):
    """How a run stands."""

    execution_id: UUID
    status: Status
    outputs: dict[str, list[Json]] | None
    """By name, each with all its values in their order; null until the run has ended well."""
    error: str | None


class AgentQuery(Request):
    """Find an agent."""

    query: str = Field(min_length=1, max_length=1_000)


class RunAgentRequest(Request):
    """Run an agent that was found."""

    agent_id: str = Field(min_length=1, max_length=200)
    inputs: dict[str, Json] = {}
