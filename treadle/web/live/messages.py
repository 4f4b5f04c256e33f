"""The messages of live events, in both directions. ``docs/live-events.md`` tells how they are used.

All are JSON objects whose ``type`` says which they are. Fields that are not there have the value given here.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from treadle.kernel.states import Status

Number = Annotated[int, Meta(ge=0, le=2**53)]
"""Of an event: its place in the journal of its execution, from 1."""
State = Literal["ready", "running", "retrying", "waiting", "completed", "failed"]


class Said(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    """Base of what clients send."""


class Auth(Said, tag="auth"):
    """Who the client is, unless the subprotocol has said it: the first message, within ten seconds."""

    token: Annotated[str, Meta(max_length=16_384)]
    workspace_id: UUID | None = None
    """The workspace of whatever does not name one; else the person's own."""


class Subscribe(Said, tag="subscribe"):
    """Send the events of an execution, from the first one after ``after``. Again: from there anew."""

    execution_id: UUID
    after: Number = 0
    include_children: bool = False
    """Of its sub-agents, too."""
    after_children: dict[UUID, Number] = {}
    """For sub-agents, the number of the last event that is known; others are told from their beginning."""
    workspace_id: UUID | None = None


class Unsubscribe(Said, tag="unsubscribe"):
    """Send no more of an execution."""

    execution_id: UUID


class SubscribeAll(Said, tag="subscribe_all"):
    """Send how runs of a workspace stand whenever that changes."""

    workspace_id: UUID | None = None
    graph_id: Annotated[str, Meta(max_length=200)] | None = None
    """Only runs of this agent."""


class UnsubscribeAll(Said, tag="unsubscribe_all"):
    """Send no more how the runs of a workspace stand."""

    workspace_id: UUID | None = None


class Ping(Said, tag="ping"):
    """Is answered by ``pong``."""


AnySaid = Auth | Subscribe | Unsubscribe | SubscribeAll | UnsubscribeAll | Ping


class Told(msgspec.Struct, tag_field="type", omit_defaults=True):
    """Base of what the server sends."""


class Output(msgspec.Struct):
    """One output of a node or of a run. A value of more than 64 KiB is told as ``{"size", "sha256"}``."""

    name: str
    value: Any


class ParentData(msgspec.Struct):
    """Which firing of which execution runs a sub-agent."""

    execution_id: UUID
    firing: int
    slot: int


class StartedData(msgspec.Struct, omit_defaults=True):
    """What begins."""

    graph_id: str
    graph_version: int
    root_id: UUID
    status: Literal["RUNNING"]
    at_ms: int
    parent: ParentData | None = None
    """Of a sub-agent."""
    rerun_of: UUID | None = None


class ProgressData(msgspec.Struct, omit_defaults=True):
    """What a firing of a node has come to."""

    node: str | None
    state: State
    firing: int | None = None
    attempt: int = 0
    inputs: dict[str, Any] | None = None
    """What an attempt with effects is given."""
    outputs: list[Output] = []
    """What the firing has sent since its last event."""
    error: str = ""
    at_ms: int | None = None
    """Milliseconds since 1970."""
    due_ms: int | None = None
    """When a firing that waits or is repeated goes on by itself."""
    microseconds: int = 0
    usage: dict[str, Any] = {}
    """Tokens, calls, cost."""
    waits_for: str = ""
    """``timer`` or ``event``."""
    decision: Any = None
    """What a person has decided on the firing, or what came for it."""
    caller: tuple[int, int] | None = None
    """The firing that calls this one as a tool, and the number of the call."""
    kept_from: int | None = None
    """Re-run: the number that the firing had in the earlier run, from which it is taken over."""
    truncated: bool = False
    """Inputs and outputs are left out for their size; the run's detail has them."""


class EndData(msgspec.Struct, omit_defaults=True):
    """How a run has ended."""

    status: Status
    error: str = ""
    at_ms: int = 0
    outputs: list[Output] = []
    truncated: bool = False
    """The outputs are left out for their size; the run's detail has them."""


class ReviewData(msgspec.Struct, omit_defaults=True):
    """What a person is asked."""

    node: str | None
    firing: int
    message: str = ""
    data: Any = None
    editable: bool = True
    at_ms: int = 0
    truncated: bool = False


class DeltaData(msgspec.Struct):
    """Live text of a firing."""

    node: str
    firing: int
    offset: int
    """Characters that the firing has said before; more than were received when some were left out."""
    text: str


class StatusData(msgspec.Struct):
    """How a run stands."""

    graph_id: str
    graph_version: int
    status: Status
    error: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    wake_at: datetime | None


class ErrorDetails(msgspec.Struct):
    """What a program may want to know of a failure."""

    reason: str
    fix: str = ""


class ErrorData(msgspec.Struct):
    """What went wrong, as in answers over HTTP."""

    code: str
    message: str
    details: ErrorDetails


class Numbered(Told):
    """An event of an execution: a record of its journal."""

    execution_id: UUID
    seq: Number


class Started(Numbered, tag="execution.started"):
    """A run has begun."""

    data: StartedData


class Progress(Numbered, tag="execution.progress"):
    """Outputs of a node, or a new state of one of its firings."""

    data: ProgressData


class Review(Numbered, tag="execution.review"):
    """A firing waits for a person."""

    data: ReviewData


class Completed(Numbered, tag="execution.completed"):
    """A run has ended well. The last event of its execution."""

    data: EndData


class Failed(Numbered, tag="execution.failed"):
    """A run has failed, or was stopped (its status is then TERMINATED). The last event of its execution."""

    data: EndData


class Delta(Told, tag="execution.delta"):
    """Live text, such as a model's words as they come. Neither numbered nor kept."""

    execution_id: UUID
    data: DeltaData


class StatusChanged(Told, tag="execution.status"):
    """A run of a list that is watched stands otherwise than before. Not numbered."""

    execution_id: UUID
    data: StatusData


class Ready(Told, tag="ready"):
    """The client is known."""

    user_id: UUID


class Subscribed(Told, tag="subscribed"):
    """Events of the execution follow; of one that is over, those that are left, or none."""

    execution_id: UUID
    status: Status


class Unsubscribed(Told, tag="unsubscribed"):
    """No events of the execution follow."""

    execution_id: UUID


class SubscribedAll(Told, tag="subscribed_all"):
    """Changes follow."""

    workspace_id: UUID
    graph_id: str | None = None


class UnsubscribedAll(Told, tag="unsubscribed_all"):
    """No changes follow."""

    workspace_id: UUID


class ErrorTold(Told, tag="error"):
    """A message could not be followed, or a subscription has ended for want of what it was about."""

    data: ErrorData
    execution_id: UUID | None = None


class Pong(Told, tag="pong"):
    """The answer to ``ping``."""


class Heartbeat(Told, tag="heartbeat"):
    """Nothing has happened for a while."""


class Notification(Told, tag="notification"):
    """Reserved for what people are notified of."""

    data: dict[str, Any]


AnyTold = (
    Started
    | Progress
    | Review
    | Completed
    | Failed
    | Delta
    | StatusChanged
    | Ready
    | Subscribed
    | Unsubscribed
    | SubscribedAll
    | UnsubscribedAll
    | ErrorTold
    | Pong
    | Heartbeat
    | Notification
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnySaid)


def encoded(message: Told) -> str:
    """A message as text."""
    return _encoder.encode(message).decode()


def decoded(text: str) -> AnySaid:
    """What a client says. Raises ``msgspec.DecodeError`` that says what is wrong with it."""
    said: AnySaid = _decoder.decode(text)
    return said


def schema() -> dict[str, Any]:
    """The JSON Schema of all messages: ``client`` and ``server`` among its definitions."""
    (client, server), definitions = msgspec.json.schema_components((AnySaid, AnyTold), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Live events",
        "$defs": {"client": client, "server": server, **definitions},
    }
