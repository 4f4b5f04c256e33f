"""From what the platform gives to what goes over HTTP and out of the commands."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from treadle.engine.secrets import masked
from treadle.engine.store import ExecutionRow, ListedExecution, OpenReview
from treadle.engine.view import FiringView
from treadle.features.executions.service import Executions
from treadle.kernel.records import Record, Reference
from treadle.web.executions.bodies import (
    Event,
    FiringBody,
    NamedValue,
    NodeCounts,
    NodeFailure,
    Review,
    RunDetail,
    RunReport,
    RunSummary,
    WarningBody,
)

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "begin": ("time_ms", "inputs", "keeping", "details"),
    "start": ("firing", "attempt", "time_ms", "inputs", "node"),
    "out": ("firing", "pin", "value", "node"),
    "note": ("firing", "value"),
    "end": ("firing", "outputs", "error", "time_ms", "microseconds", "extra", "node"),
    "retry": ("firing", "attempt", "error", "time_ms", "due_ms", "node"),
    "wait": ("firing", "kind", "payload", "time_ms", "due_ms", "node"),
    "resume": ("firing", "decision", "time_ms", "node"),
    "tool": ("firing", "slot", "node", "inputs"),
    "sub": ("firing", "slot", "execution", "status", "error", "time_ms", "node"),
    "keep": ("node", "causes", "outputs", "error", "earlier_firing"),
    "open": ("changes",),
    "stop": ("reason", "time_ms"),
    "close": ("status", "time_ms", "details"),
}
"""Names of the members of a record: the table in ``treadle.kernel.records``."""


def json_value(value: Any) -> Any:
    """``value`` with what JSON lacks as text: infinities, half surrogates, references to values kept apart."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if kind is dict:
        return {json_value(str(key)): json_value(each) for key, each in value.items()}
    if kind is list or kind is tuple:
        return [json_value(each) for each in value]
    if value is None or kind is bool or kind is int:
        return value
    if isinstance(value, Reference):
        return {"size": value.size, "sha256": value.digest}
    return str(value)


def run_summary(row: ListedExecution) -> RunSummary:
    """A run in a list."""
    return RunSummary(**_summary_fields(row))


def _summary_fields(row: ListedExecution) -> dict[str, Any]:
    same = ("id", "status", "graph_id", "graph_version", "error", "firings", "failed", "cost", "rerun_of")
    times = ("created_at", "started_at", "ended_at", "wake_at")
    return {**{name: getattr(row, name) for name in (*same, *times)}, "seconds": seconds_of(row)}


def seconds_of(row: ListedExecution) -> float:
    """From its start until its end, or until now."""
    if row.started_at is None:
        return 0.0
    return max(0.0, round(((row.ended_at or datetime.now(UTC)) - begun_at(row)).total_seconds(), 3))


def begun_at(row: ListedExecution) -> datetime:
    """When a worker took the run up.

    A run that its worker started itself has its row from the first commit, by which the first nodes may be done; its
    id (RFC 9562, version 7) holds the milliseconds at which it was made.
    """
    if row.started_at is not None and row.started_at != row.created_at:
        return row.started_at
    return min(row.created_at, datetime.fromtimestamp((row.id.int >> 80) / 1000, UTC))


async def run_detail(executions: Executions, row: ExecutionRow) -> RunDetail:
    """A run, with its large values."""
    family = await executions.family(row.workspace_id, row.id)
    return RunDetail(
        **_summary_fields(row),
        root_id=row.root_id,
        parent_id=row.parent_id,
        inputs=await _node_inputs(executions, row),
        outputs=_named(await executions.outputs(row)),
        warnings=_warnings(row),
        failures=[NodeFailure(**each) for each in row.failures],
        nodes={node: _counts(counts) for node, counts in row.nodes.items()},
        children=[each.id for each in family if each.parent_id == row.id],
    )


async def _node_inputs(executions: Executions, row: ExecutionRow) -> dict[str, dict[str, Any]]:
    plan = await executions.plan(row)
    shown: dict[str, dict[str, Any]] = {}
    for index, values in (await executions.inputs(row)).items():
        node = plan.nodes[int(index)]
        secret = executions.secret_pins(node.block_id)
        hidden = node.constants.get("secret") is True
        shown[node.id] = {
            pin: "***" if value and (hidden or pin in secret) else json_value(value) for pin, value in values.items()
        }
    return shown


def _counts(counts: list[int]) -> NodeCounts:
    return NodeCounts(firings=counts[0], failed=counts[1], microseconds=counts[2], credits=counts[3])


async def run_report(executions: Executions, row: ExecutionRow) -> RunReport:
    """How a run stands."""
    return RunReport(
        id=row.id,
        status=row.status,
        outputs=_named(await executions.outputs(row)),
        error=row.error,
        warnings=_warnings(row),
        firings=row.firings,
        seconds=seconds_of(row),
    )


def _named(outputs: list[tuple[str, Any]]) -> list[NamedValue]:
    return [NamedValue(name=name, value=json_value(value)) for name, value in outputs]


def _warnings(row: ExecutionRow) -> list[WarningBody]:
    return [
        WarningBody(**{name: each[name] for name in WarningBody.model_fields if name in each}) for each in row.warnings
    ]


def firing_body(firing: FiringView) -> FiringBody:
    """One firing."""
    same = ("number", "node", "title", "block_id", "status", "attempt", "error", "started_ms", "ended_ms")
    values = {name: getattr(firing, name) for name in (*same, "microseconds", "kept_from", "causes")}
    apart = {name: json_value(getattr(firing, name)) for name in ("inputs", "attempts", "waits", "usage")}
    return FiringBody(**values, **apart, outputs=_named(firing.outputs))


def event_body(number: int, record: Record) -> Event:
    """One record of the journal."""
    names = _FIELDS.get(record[0], ())
    return Event(number=number, kind=record[0], fields=json_value(masked(dict(zip(names, record[1:], strict=False)))))


def review_body(review: OpenReview) -> Review:
    """Something that waits for a person."""
    return Review(
        execution_id=review.execution_id,
        root_id=review.root_id,
        firing=review.firing,
        node=review.node_id,
        message=str(review.payload.get("message") or ""),
        data=json_value(masked(review.payload.get("data"))),
        editable=review.payload.get("editable") is not False,
        created_at=review.created_at,
    )
