"""Graphs and blocks as they go over HTTP, and as the commands print them with ``--json``."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from treadle.web.bodies import Answer, JsonObject, Pagination, Request
from treadle.web.problems import ProblemBody

LONGEST_NOTE = 2_000
"""Characters that may be said of a version."""


class GraphSummary(Answer):
    """An agent in a list."""

    id: str
    name: str
    description: str
    newest_version: int
    active_version: int
    """What runs when no version is named."""
    created_by: UUID | None
    """Who saved it first; null when that was done from the command line."""
    created_at: datetime
    updated_at: datetime
    """When a version was last saved or made the active one."""


class GraphList(Answer):
    """Agents of the workspace."""

    graphs: list[GraphSummary]
    pagination: Pagination


class VersionSummary(Answer):
    """A version of an agent in a list."""

    version: int
    name: str
    note: str
    """What people say of it."""
    is_active: bool
    """Whether it runs when no version is named."""
    nodes: int
    links: int
    created_by: UUID | None
    """Who saved it."""
    created_at: datetime


class VersionList(Answer):
    """All versions of an agent, the newest first."""

    versions: list[VersionSummary]
    pagination: Pagination


class ActivateRequest(Request):
    """Choose the version that runs when none is named."""

    version: int = Field(ge=0, le=2**31 - 1)


class NoteRequest(Request):
    """Say something of a version."""

    note: str = Field(max_length=LONGEST_NOTE)


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


class GraphForms(Answer):
    """What an agent takes and gives, computed from its nodes: enough to draw its forms."""

    input_schema: JsonObject
    """JSON Schema of the inputs of a run, by the names of the input nodes."""
    output_schema: JsonObject
    credentials_input_schema: JsonObject
    """JSON Schema of the credentials of a run, by their keys."""
    credentials: list[CredentialNeedBody]
    """The same needs, and whether they are met."""
    has_external_trigger: bool
    """Whether something outside starts it, such as a webhook."""
    has_human_in_the_loop: bool
    """Whether a run may wait for a person."""
    has_sensitive_action: bool
    """Whether a node does what some people want to be asked about first."""
    problems: list[ProblemBody]
    """Everything that is wrong, with its node and pin."""


class GraphDetail(GraphForms):
    """One version of an agent. ``problems`` are what stands in the way of a run, and warnings."""

    id: str
    version: int
    name: str
    description: str
    note: str
    is_active: bool
    """Whether this version runs when none is named."""
    newest_version: int
    active_version: int
    created_by: UUID | None
    """Who saved this version."""
    created_at: datetime
    document: JsonObject
    """The agent file, sub-agents included; a secret is ``***`` in it, and stays what it is when that is sent back."""


class Verdict(GraphForms):
    """What an agent file is worth on this install, before it is saved."""

    can_be_saved: bool
    can_run: bool
    node_errors: dict[str, dict[str, str]]
    """What forbids a run, by node and pin: the first problem of each; what is about the node itself under ``""``."""
    notes: list[str]
    """What in the file was odd, and mended or left out."""


class BlockCard(Answer):
    """A block in a menu."""

    id: str
    name: str
    title: str
    description: str
    categories: list[str]
    types: list[str]
    """``input``, ``output``, ``action``, ``trigger``, ``ai``, ``agent``, ``human`` or ``note``; one may be several."""
    providers: list[str]
    """Whose credentials it takes."""
    cost: int
    """Credits for one run; one is a US cent."""
    disabled: str
    """Why it may not run here; empty when it may."""


class BlockBody(Answer):
    """A block, with all that its form needs."""

    id: str
    name: str
    title: str
    description: str
    categories: list[str]
    providers: list[str]
    """Whose credentials it takes."""
    input_schema: JsonObject
    """JSON Schema of the input pins: titles, descriptions, placeholders, formats, choices, ``advanced``, ``secret``."""
    output_schema: JsonObject
    input_order: list[str]
    """The input pins as they stand in the form; objects of JSON have no order."""
    output_order: list[str]
    kind: str
    work: Literal["pure", "read", "effect"]
    """What it may touch: nothing, reading the outside, changing it."""
    static_output: bool
    """Whether its outputs stay where they arrive, instead of being used up."""
    sensitive: bool
    """Whether some people want to be asked before it runs."""
    cost: int
    """Credits for one run; one is a US cent."""
    version: int
    disabled: str
    """Why it may not run here; empty when it may."""


class BlockList(Answer):
    """Blocks of this install, by title."""

    blocks: list[BlockBody]
    total: int
