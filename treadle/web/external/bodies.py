"""What goes over the external API."""

from uuid import UUID

from treadle.features.accounts.access import Role, Scope
from treadle.web.bodies import Answer, JsonObject, Pagination


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
