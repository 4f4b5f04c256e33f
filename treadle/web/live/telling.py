"""From records of the journal to messages: what they say, and what they leave out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from treadle.base.errors import TreadleError
from treadle.base.ids import ExecutionId, NodeId
from treadle.engine.secrets import masked
from treadle.features.executions.plain import plain_value
from treadle.features.live.channel import Event
from treadle.features.live.past import Standing, Subject
from treadle.kernel.records import Record
from treadle.kernel.states import Status
from treadle.web.live.messages import (
    Completed,
    Delta,
    DeltaData,
    EndData,
    ErrorData,
    ErrorDetails,
    ErrorTold,
    Failed,
    Output,
    ParentData,
    Progress,
    ProgressData,
    Review,
    ReviewData,
    Started,
    StartedData,
    StatusChanged,
    StatusData,
    encoded,
)
from treadle.web.problems import failure_of

LARGEST = 1_000_000
"""Characters of a message. From a larger one the values are left out."""
LARGEST_RESULT = 64_000
"""Characters of a run's outputs that are told with its end."""

Told = Started | Progress | Review


class Words:
    """Implements ``treadle.features.live.channel.Telling``."""

    def events(
        self, subject: Subject, nodes: Sequence[NodeId], first: int, records: Sequence[Record], outputs: Sequence[Any]
    ) -> list[Event]:
        """What the records tell; some tell nothing."""
        told: list[Event] = []
        for seq, record in enumerate(records, first):
            if record[0] == "close":
                told.append(Event(seq, _ended(subject, seq, record, outputs), final=True))
            elif (tell := _TELL.get(record[0])) is not None:
                told.append(Event(seq, _fitting(tell(subject, nodes, seq, record))))
        return told

    def said(self, execution: ExecutionId, node: NodeId, firing: int, offset: int, text: str) -> str:
        """Live text."""
        return encoded(Delta(execution, DeltaData(node, firing, offset, plain_value(text))))

    def standing(self, standing: Standing) -> str:
        """How a run stands."""
        data = StatusData(
            graph_id=standing.graph_id,
            graph_version=standing.graph_version,
            status=standing.status,
            error=None if standing.error is None else _shown(standing.error),
            created_at=standing.created_at,
            started_at=standing.started_at,
            ended_at=standing.ended_at,
            wake_at=standing.wake_at,
        )
        return encoded(StatusChanged(standing.id, data))

    def failure(self, execution: ExecutionId | None, error: TreadleError) -> str:
        """Why something is not told."""
        failed = failure_of(error).error
        details = ErrorDetails(failed.details.reason, failed.details.fix)
        return encoded(ErrorTold(ErrorData(failed.code, failed.message, details), execution))


def _fitting(message: Told) -> str:
    """The message, without its values if it is too large with them."""
    text = encoded(message)
    if len(text) <= LARGEST:
        return text
    if isinstance(message, Progress):
        return encoded(
            msgspec.structs.replace(
                message,
                data=msgspec.structs.replace(
                    message.data,
                    inputs=None,
                    outputs=[],
                    decision=None,
                    error=message.data.error[:1_000],
                    truncated=True,
                ),
            )
        )
    assert isinstance(message, Review)
    return encoded(
        msgspec.structs.replace(message, data=msgspec.structs.replace(message.data, data=None, truncated=True))
    )


def _shown(value: Any) -> Any:
    """A value as people are shown it, in JSON."""
    return plain_value(masked(value))


def _outputs(sent: Sequence[Any]) -> list[Output]:
    return [Output(str(plain_value(name)), _shown(value)) for name, value in sent]


def _node(nodes: Sequence[NodeId], record: Record, at: int) -> NodeId | None:
    """The node that a record names; journals of early installs do not name it."""
    return nodes[record[at]] if len(record) > at else None


def _begun(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Started:
    details = record[4] if len(record) > 4 else {}
    parent, rerun_of = details.get("parent"), details.get("rerun_of")
    data = StartedData(
        graph_id=subject.graph,
        graph_version=subject.graph_version,
        root_id=subject.root,
        status="RUNNING",
        at_ms=record[1],
        parent=ParentData(UUID(parent[0]), parent[1], parent[2]) if parent else None,
        rerun_of=UUID(rerun_of) if rerun_of else None,
    )
    return Started(subject.id, seq, data)


def _attempted(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Progress:
    _, firing, attempt, at, inputs, *_ = record
    shown = {str(plain_value(pin)): _shown(value) for pin, value in inputs.items()}
    data = ProgressData(_node(nodes, record, 5), "running", firing, attempt=attempt, inputs=shown, at_ms=at)
    return Progress(subject.id, seq, data)


def _sent(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Progress:
    _, firing, pin, value, *_ = record
    data = ProgressData(_node(nodes, record, 4), "running", firing, outputs=_outputs([(pin, value)]))
    return Progress(subject.id, seq, data)


def _fired(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Progress:
    _, firing, outputs, error, at, microseconds, *more = record
    data = ProgressData(
        _node(nodes, record, 7),
        "failed" if error else "completed",
        firing,
        outputs=_outputs(outputs),
        error=_shown(error),
        at_ms=at,
        microseconds=microseconds,
        usage=more[0] if more else {},
    )
    return Progress(subject.id, seq, data)


def _retried(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Progress:
    _, firing, attempt, error, at, due, *_ = record
    data = ProgressData(
        _node(nodes, record, 6), "retrying", firing, attempt=attempt, error=_shown(error), at_ms=at, due_ms=due
    )
    return Progress(subject.id, seq, data)


def _waits(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Progress | Review:
    _, firing, kind, payload, at, due, *_ = record
    node = _node(nodes, record, 6)
    if kind != "review":
        return Progress(
            subject.id, seq, ProgressData(node, "waiting", firing, at_ms=at, due_ms=due, waits_for=str(kind))
        )
    asked = payload if isinstance(payload, dict) else {"data": payload}
    message, editable = asked.get("message") or "", asked.get("editable") is not False
    data = ReviewData(node, firing, str(_shown(message)), _shown(asked.get("data")), editable, at)
    return Review(subject.id, seq, data)


def _resumed(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Progress:
    _, firing, decision, at, *_ = record
    return Progress(
        subject.id, seq, ProgressData(_node(nodes, record, 4), "ready", firing, at_ms=at, decision=_shown(decision))
    )


def _called(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Progress:
    _, caller, slot, node, *_ = record
    return Progress(subject.id, seq, ProgressData(nodes[node], "ready", caller=(caller, slot)))


def _kept(subject: Subject, nodes: Sequence[NodeId], seq: int, record: Record) -> Progress:
    _, node, _, outputs, error, earlier, *_ = record
    data = ProgressData(
        nodes[node],
        "failed" if error else "completed",
        seq - 1,  # a re-run begins with these records, right after its first, and numbers their firings from 1
        outputs=_outputs(outputs),
        error=_shown(error or ""),
        kept_from=earlier,
    )
    return Progress(subject.id, seq, data)


def _ended(subject: Subject, seq: int, record: Record, outputs: Sequence[Any]) -> str:
    _, status, at, error, *_ = record
    data = EndData(Status(status), _shown(error or "")[:10_000], at, _outputs(outputs))
    tell = Completed if status == Status.COMPLETED else Failed
    text = encoded(tell(subject.id, seq, data))
    if len(text) <= LARGEST_RESULT:
        return text
    return encoded(tell(subject.id, seq, msgspec.structs.replace(data, outputs=[], truncated=True)))


_TELL: Mapping[str, Callable[[Subject, Sequence[NodeId], int, Record], Told]] = {
    "begin": _begun,
    "start": _attempted,
    "out": _sent,
    "end": _fired,
    "retry": _retried,
    "wait": _waits,
    "resume": _resumed,
    "tool": _called,
    "keep": _kept,
}
"""The other kinds are the engine's own business: notes of blocks, and marks in re-runs and stops."""
