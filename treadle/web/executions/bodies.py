"""Runs as they go over HTTP, and as the commands print them with ``--json``."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, BaseModel, Field, field_validator

from treadle.kernel.states import Status
from treadle.sdk.credentials import AuthKind
from treadle.web.bodies import Answer, CountedPagination, Json, JsonObject, Pagination, Request


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


class Usage(Answer):
    """What models and paid services took."""

    credits: int = 0
    """One is a US cent."""
    tokens: int = 0
    sent_tokens: int = 0
    received_tokens: int = 0
    calls: int = 0
    usd: float = 0.0
    """What the providers will charge, as far as they tell it."""


class NodeCounts(Usage):
    """What one node did."""

    firings: int
    failed: int
    microseconds: int


class RunSummary(Answer):
    """A run in a list."""

    id: UUID
    status: Status
    graph_id: str
    graph_version: int
    graph_name: str
    """Of that version; empty when it is not here any more."""
    error: str | None
    """Of a run in a list the beginning of it."""
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


class RunInFile(RunSummary):
    """A run by its own row: as it is in the file that can be downloaded."""

    root_id: UUID
    parent_id: UUID | None
    worker_deaths: int
    """How many workers in a row have died while they had it, and nothing of it got done in between. From three on it
    pauses until ``wake_at``."""
    inputs: dict[str, JsonObject]
    """By node. Values above 64 KiB are given as ``{"size", "sha256"}`` here and in the firings;
    ``/api/v2/executions/{execution_id}/values/{sha256}`` has them."""
    outputs: list[NamedValue]
    warnings: list[WarningBody]
    failures: list[NodeFailure]
    nodes: dict[str, NodeCounts]


class RunDetail(RunInFile):
    """A run."""

    usage: Usage
    """Of the whole run, sub-agents included."""
    children: list[UUID]
    """Runs of sub-agents."""
    shared_at: datetime | None
    """Since when a link leads to it; null when none does."""
    node_executions: list[FiringBody]
    """The first firings, 1,000 at most."""
    more_node_executions: bool
    """Whether there are more: see ``/api/v2/executions/{execution_id}/firings``."""


class FiringList(Answer):
    """What happened in a run."""

    firings: list[FiringBody]
    next_after: int | None
    """Give it as ``after`` to continue the list; null at its end."""


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


class RunQuery(BaseModel):
    """Which runs are wanted, and which part of them."""

    page: int = Field(default=1, description="From 1.")
    page_size: int = Field(default=20, description="From 1 to 100.")
    before: UUID | None = Field(default=None, description="Continue a list behind this run, instead of a page.")
    graph_id: str | None = Field(default=None, max_length=1_000, description="Only runs of this agent.")
    status: list[Status] = Field(default=[], description="Only runs that stand so; several are possible.")
    created_after: AwareDatetime | None = Field(default=None, description="Later than this.")
    created_before: AwareDatetime | None = Field(default=None, description="Earlier than this.")
    search: str = Field(default="", max_length=200, description="In the agent's name or in the failure's sentence.")


class RunList(Answer):
    """Runs, newest first."""

    executions: list[RunSummary]
    pagination: CountedPagination
    next_before: UUID | None
    """Give it as ``before`` to continue the list, however long it is; null at its end."""


class Review(Answer):
    """Something that a person decides."""

    execution_id: UUID
    """The run or sub-agent in which it waits: the decision is addressed to it."""
    root_id: UUID
    graph_id: str
    """The agent of the run."""
    firing: int
    node: str
    message: str
    data: Json
    editable: bool
    status: Literal["WAITING", "APPROVED", "REJECTED", "EXPIRED"]
    """EXPIRED: the run ended before anybody decided."""
    created_at: datetime
    decided_at: datetime | None


class ReviewPage(Answer):
    """What waits for a person, oldest first."""

    reviews: list[Review]
    pagination: Pagination


class ReviewList(Answer):
    """All that a run and its sub-agents have asked, oldest first."""

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


class AddressedDecision(DecisionRequest):
    """One of several decisions."""

    execution_id: UUID
    firing: int = Field(ge=1, le=2**31 - 1)


class DecisionsRequest(Request):
    """Decide on several reviews."""

    decisions: list[AddressedDecision] = Field(min_length=1, max_length=100)


class Decided(Answer):
    """What became of one decision."""

    execution_id: UUID
    firing: int
    ok: bool
    reason: str = ""
    """Why it does not count: ``not_found``, ``conflict``, ``bad_input``."""
    message: str = ""


class DecidedList(Answer):
    """What became of each, in the order in which they were sent."""

    results: list[Decided]


class RerunRequest(Request):
    """Run again from a firing, or from all firings of a node."""

    firing: int | None = Field(default=None, ge=1, le=2**53)
    node: str | None = Field(default=None, max_length=1_000)
    """Instead of a firing."""
    edits: dict[str, Json] = {}
    """New values for pins of those firings."""
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
    credits: int
    """What the steps that run again took the first time; what they take now may differ."""
    tokens: int


class RetryRequest(Request):
    """Retry failed runs: those that are named, or the failed ones of an agent."""

    execution_ids: list[UUID] = Field(default=[], max_length=100)
    graph_id: str | None = Field(default=None, max_length=1_000)
    status: Literal["FAILED"] = "FAILED"
    since: AwareDatetime | None = None
    """Only runs that were created since then."""


class RetriedBody(Answer):
    """What became of one run."""

    execution_id: UUID
    started: UUID | None
    """The new run."""
    kept: int
    """Firings that it took over."""
    reason: str
    """Why none was started; empty when one was."""
    message: str


class RetriedList(Answer):
    """What became of each, 100 at most: send the request again for the rest."""

    results: list[RetriedBody]


class ShareBody(Answer):
    """A link to what a run has given. It is shown once; sharing again gives a new one and ends this one."""

    token: str
    path: str
    """Of the link on this server."""
    created_at: datetime


class SharedRun(Answer):
    """What a link shows: nothing of how it came about."""

    name: str
    """Of the agent."""
    description: str
    status: Status
    created_at: datetime
    outputs: list[NamedValue]
    """Values above 64 KiB are given as ``{"size", "sha256"}``."""


class CredentialsChoice(Request):
    """Credentials to use in a run."""

    id: str = Field(max_length=500)
    provider: str = Field(max_length=200)
    type: AuthKind
    title: str | None = Field(default=None, max_length=500)


class RunSettings(Request):
    """How an agent is run; what is not given is as the agent's settings in the library say, or as is usual."""

    safe_mode: bool | None = None
    """Whether nodes that ask a person do ask; usually they do."""
    ask_before_sensitive: bool | None = None
    """Whether blocks that do something sensitive ask first; usually they do not."""
    timezone: str | None = Field(default=None, max_length=100)
    """Such as Europe/Berlin; usually the server's."""

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            ZoneInfo(value or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("it must be a name such as Europe/Berlin or UTC") from error
        return value

    def given(self) -> dict[str, Any]:
        """Those that are given, by name."""
        values = {name: getattr(self, name) for name in RunSettings.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class ExecuteRequest(RunSettings):
    """Start a run."""

    input_data: dict[str, Json] = {}
    """Values for the agent's inputs, by name."""
    version: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """Of the agent; when it is not given, the one that its library entry follows: the active one, or a pinned one."""
    credentials: dict[str, CredentialsChoice] = {}
    """Which credentials to use, by the keys of the agent's credentials; for others those on the nodes are used."""


class BlockExecuteRequest(Request):
    """Run one block by itself."""

    input_data: dict[str, Json] = {}
    """Values for its input pins, by name."""
    credentials: dict[str, CredentialsChoice] = {}
    """For its credentials pins, by name; left out, the only ones of the workspace that fit are used."""
    safe_mode: bool = True
    """Whether a block that asks a person does ask."""


class BlockReport(Answer):
    """How a block that ran by itself has ended."""

    execution_id: UUID
    status: Status
    outputs: dict[str, list[Json]]
    """What it sent, by output pin, in order."""
    error: str | None


class Started(Answer):
    """A run that goes on."""

    execution_id: UUID
    status: Status
