"""Graphs and blocks as they go over HTTP, and as the commands print them with ``--json``."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from treadle.kernel.states import Status
from treadle.web.bodies import Answer, Json, JsonObject, Request
from treadle.web.problems import ProblemBody


class GraphSummary(Answer):
    """An agent in a list."""

    id: str
    version: int
    name: str
    description: str
    created_at: datetime


class GraphList(Answer):
    """The newest version of every agent."""

    graphs: list[GraphSummary]


class CredentialNeedBody(Answer):
    """Credentials that an agent needs."""

    key: str
    providers: list[str]
    types: list[str]
    host: str
    required: bool
    available: bool
    """Whether this install has them."""
    fix: str
    """What to do when it has not."""


class GraphDetail(GraphSummary):
    """An agent."""

    document: JsonObject
    """The agent file, sub-agents included, without secrets."""
    input_schema: JsonObject
    output_schema: JsonObject
    credentials: list[CredentialNeedBody]
    problems: list[ProblemBody]
    """What stands in the way of a run, and warnings."""


class BlockBody(Answer):
    """A block."""

    id: str
    name: str
    title: str
    description: str
    categories: list[str]
    input_schema: JsonObject
    output_schema: JsonObject
    kind: str
    work: Literal["pure", "read", "effect"]
    """What it may touch: nothing, reading the outside, changing it."""
    static_output: bool
    version: int
    disabled: str
    """Why it may not run here; empty when it may."""


class BlockList(Answer):
    """The blocks of this install."""

    blocks: list[BlockBody]


class ExecuteRequest(Request):
    """Start a run."""

    input_data: dict[str, Json] = {}
    """Values for the agent's inputs, by name."""
    version: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """Of the agent; the newest when it is not given."""
    safe_mode: bool = True
    """Whether nodes that ask a person do ask."""


class Started(Answer):
    """A run that goes on."""

    execution_id: UUID
    status: Status
