"""Runs as they go over HTTP, and as the commands print them with ``--json``."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from treadle.kernel.states import Status
from treadle.web.bodies import Answer, Json, JsonObject, Request


class NamedValue(Answer):
    """One output of a run."""

    name: str
    value: Json


class WarningBody(Answer):
    """A node that still waited when the run ended."""

    node: str
    waits_for: list[str] = []
    """Pins that never got a value."""
    left_over: int = 0
    """Values that arrived and were not used."""


class NodeFailure(Answer):
    """A firing that failed."""

    firing: int
    node: str
    message: str


class NodeCounts(Answer):
    """What one node did."""

    firings: int
    failed: int
    microseconds: int
    credits: int


class RunSummary(Answer):
    """A run in a list."""

    id: UUID
    status: Status
    graph_id: str
    graph_version: int
    error: str | None
    firings: int
    failed: int
    cost: int
    """Credits; one is a US cent."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    wake_at: datetime | None
    """When a run that waits goes on by itself."""
    seconds: float
    """How long it has taken, waiting in the queue excluded."""
    rerun_of: UUID | None


class RunDetail(RunSummary):
    """A run."""

    root_id: UUID
    parent_id: UUID | None
    inputs: dict[str, JsonObject]
    """By node."""
    outputs: list[NamedValue]
    warnings: list[WarningBody]
    failures: list[NodeFailure]
    nodes: dict[str, NodeCounts]
    children: list[UUID]
    """Runs of sub-agents."""


class RunReport(Answer):
    """How a run stands: what ``treadle run --json`` prints."""

    id: UUID
    status: Status
    outputs: list[NamedValue]
    error: str | None
    warnings: list[WarningBody]
    firings: int
    seconds: float


class FiringBody(Answer):
    """One firing of a node."""

    number: int
    node: str
    title: str
    block_id: str
    status: Literal["ready", "running", "retrying", "waiting", "review", "completed", "failed"]
    attempt: int
    inputs: JsonObject
    outputs: list[NamedValue]
    error: str
    started_ms: int | None
    """Milliseconds since 1970."""
    ended_ms: int | None
    microseconds: int
    causes: list[tuple[int, int]]
    """Which outputs filled its pins: (firing, position among its outputs)."""
    attempts: list[JsonObject]
    """Attempts that failed and were repeated."""
    waits: list[JsonObject]
    usage: JsonObject
    kept_from: int | None
    """Re-run: its number in the earlier run."""


class FiringList(Answer):
    """What happened in a run."""

    firings: list[FiringBody]


class Event(Answer):
    """One record of a run's journal."""

    number: int
    """From 1, without gaps."""
    kind: str
    """begin, start, out, end, retry, wait, resume, tool, keep, open, stop or close."""
    fields: JsonObject


class EventList(Answer):
    """Records that follow a number."""

    events: list[Event]
    status: Status
    """Of the run; once it is over no further records come."""


class RunList(Answer):
    """Runs, newest first."""

    executions: list[RunSummary]
    next_before: UUID | None
    """Give it as ``before`` to continue the list; null at its end."""


class Review(Answer):
    """Something that waits for a person."""

    execution_id: UUID
    """The run or sub-agent in which it waits: the decision is addressed to it."""
    root_id: UUID
    firing: int
    node: str
    message: str
    data: Json
    editable: bool
    created_at: datetime


class ReviewList(Answer):
    """What waits for a person, oldest first."""

    reviews: list[Review]


class StopRequest(Request):
    """Stop a run."""

    reason: str = Field(default="", max_length=2_000)


class DecisionRequest(Request):
    """A person's decision on a review."""

    approved: bool
    data: Json = None
    """The data as changed by the person; null leaves it as it is."""
    message: str = Field(default="", max_length=20_000)
    always: bool = False
    """Approve this node for the rest of the run."""


class RerunRequest(Request):
    """Run again from a firing."""

    firing: int = Field(ge=1)
    edits: dict[str, Json] = {}
    """New values for pins of that firing."""
    newest: bool = False
    """Take the agent's newest version."""
    preview: bool = False
    """Only say what would be kept and repeated."""


class Repeat(Answer):
    """A firing with effects outside that runs again."""

    firing: int
    node: str


class RerunAnswer(Answer):
    """What a re-run keeps and repeats."""

    execution_id: UUID | None
    """The new run; null for a preview."""
    kept: int
    repeats: list[Repeat]
