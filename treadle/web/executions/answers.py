"""From what the platform gives to what goes over HTTP and out of the commands."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from treadle.base.ids import ExecutionId
from treadle.base.paging import Page, Total
from treadle.engine.endings import Ended
from treadle.engine.rerun import Rerun
from treadle.engine.secrets import MASK, masked
from treadle.engine.store import ExecutionRow
from treadle.engine.view import FiringView
from treadle.features.executions.listing import RunLine
from treadle.features.executions.plain import plain_value
from treadle.features.executions.reviews import Review as FoundReview
from treadle.features.executions.service import Executions
from treadle.features.executions.times import seconds_of
from treadle.kernel.records import Record
from treadle.web.bodies import counted_pagination
from treadle.web.executions.bodies import (
    BlockReport,
    Event,
    FiringBody,
    NamedValue,
    NodeCounts,
    NodeFailure,
    Repeat,
    RerunAnswer,
    Review,
    RunDetail,
    RunReport,
    RunSummary,
    SharedRun,
    Usage,
    WarningBody,
)

FIRINGS_SHOWN = 1_000
"""Firings that a run's detail has at most."""

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "begin": ("time_ms", "inputs", "keeping", "details"),
    "start": ("firing", "attempt", "time_ms", "inputs", "node"),
    "out": ("firing", "pin", "value", "node"),
    "note": ("firing", "value"),
    "end": ("firing", "outputs", "error", "time_ms", "microseconds", "extra", "node"),
    "retry": ("firing", "attempt", "error", "time_ms", "due_ms", "node", "extra"),
    "wait": ("firing", "kind", "payload", "time_ms", "due_ms", "node", "extra"),
    "resume": ("firing", "decision", "time_ms", "node"),
    "tool": ("firing", "slot", "node", "inputs"),
    "sub": ("firing", "slot", "execution", "status", "error", "time_ms", "node"),
    "keep": ("node", "causes", "outputs", "error", "earlier_firing"),
    "open": ("changes",),
    "stop": ("reason", "time_ms"),
    "close": ("status", "time_ms", "details"),
}
"""Names of the members of a record: the table in ``treadle.kernel.records``."""


def run_summary(line: RunLine) -> RunSummary:
    """A run in a list."""
    return RunSummary(**{name: getattr(line, name) for name in RunSummary.model_fields})


def run_list(lines: list[tuple[UUID, bytes]], page: Page, total: Total, *, more: bool) -> bytes:
    """A page of runs, as the JSON of a ``RunList``; ``lines`` are ids and the JSON of each run."""
    return msgspec.json.encode(
        {
            "executions": [msgspec.Raw(line) for _, line in lines],
            "pagination": counted_pagination(page, total).model_dump(),
            "next_before": lines[-1][0] if more else None,
        }
    )


def _summary_fields(row: ExecutionRow, name: str) -> dict[str, Any]:
    same = ("id", "status", "graph_id", "graph_version", "error", "firings", "failed", "cost", "rerun_of")
    times = ("created_at", "started_at", "ended_at", "wake_at")
    return {**{name: getattr(row, name) for name in (*same, *times)}, "seconds": seconds_of(row), "graph_name": name}


async def run_head(executions: Executions, row: ExecutionRow) -> dict[str, Any]:
    """What a run's own row tells of it, large values by reference."""
    version = (row.graph_id, row.graph_version)
    names = await executions.lists.names(row.workspace_id, {version})
    return {
        **_summary_fields(row, names[version]),
        "root_id": row.root_id,
        "parent_id": row.parent_id,
        "worker_deaths": row.deaths,
        "inputs": await _node_inputs(executions, row),
        "outputs": _named([(name, masked(value)) for name, value in row.outputs]),
        "warnings": _warnings(row.warnings),
        "failures": [NodeFailure(**each) for each in row.failures],
        "nodes": {node: _counts(counts) for node, counts in row.nodes.items()},
    }


async def run_detail(executions: Executions, row: ExecutionRow) -> RunDetail:
    """A run with its first firings."""
    below = await executions.below(row)
    page = await executions.firings(row.workspace_id, row.id, limit=FIRINGS_SHOWN)
    return RunDetail(
        **await run_head(executions, row),
        usage=_usage([counts for nodes in (row.nodes, *(each.nodes for each in below)) for counts in nodes.values()]),
        children=[each.id for each in below if each.parent_id == row.id],
        shared_at=await executions.shares.since(row.workspace_id, row.id),
        node_executions=[firing_body(each) for each in page.firings],
        more_node_executions=page.more,
    )


async def _node_inputs(executions: Executions, row: ExecutionRow) -> dict[str, dict[str, Any]]:
    plan = await executions.plan(row)
    shown: dict[str, dict[str, Any]] = {}
    for index, values in row.inputs.items():
        node = plan.nodes[int(index)]
        secret = executions.secret_pins(node.block_id)
        hidden = node.constants.get("secret") is True
        shown[node.id] = {
            pin: MASK if value and (hidden or pin in secret) else plain_value(masked(value))
            for pin, value in values.items()
        }
    return shown


def _counts(counts: list[int]) -> NodeCounts:
    return NodeCounts(firings=counts[0], failed=counts[1], microseconds=counts[2], **_usage([counts]).model_dump())


def _usage(counts: list[list[int]]) -> Usage:
    """The sum of what nodes have used (``treadle.engine.summary.Summary.nodes``)."""
    credits, tokens, sent, received, calls, millionths = (
        sum(each[place] for each in counts if place < len(each)) for place in range(3, 9)
    )
    return Usage(
        credits=credits,
        tokens=tokens,
        sent_tokens=sent,
        received_tokens=received,
        calls=calls,
        usd=millionths / 1e6,
    )


def ended_json(id: ExecutionId, ended: Ended) -> bytes:
    """How a run ended, as the JSON of a ``RunReport``: answers to starts are encoded without a detour."""
    return msgspec.json.encode(
        {
            "id": id,
            "status": ended.status,
            "outputs": [{"name": name, "value": plain_value(masked(value))} for name, value in ended.outputs],
            "error": ended.error,
            "warnings": [_warning_fields(each) for each in ended.warnings],
            "firings": ended.firings,
            "seconds": ended.seconds,
        }
    )


def block_report(id: ExecutionId, ended: Ended) -> BlockReport:
    """How a block that ran by itself ended."""
    outputs: dict[str, list[Any]] = {}
    for name, value in ended.outputs:
        outputs.setdefault(name, []).append(plain_value(masked(value)))
    return BlockReport(execution_id=id, status=ended.status, outputs=outputs, error=ended.error)


async def run_report(executions: Executions, row: ExecutionRow) -> RunReport:
    """How a run stands, with its large outputs."""
    return RunReport(
        id=row.id,
        status=row.status,
        outputs=_named(await executions.outputs(row)),
        error=row.error,
        warnings=_warnings(row.warnings),
        firings=row.firings,
        seconds=seconds_of(row),
    )


def _named(outputs: list[tuple[str, Any]]) -> list[NamedValue]:
    return [NamedValue(name=name, value=plain_value(value)) for name, value in outputs]


def _warnings(warnings: list[dict[str, Any]]) -> list[WarningBody]:
    return [WarningBody(**_warning_fields(each)) for each in warnings]


def _warning_fields(warning: dict[str, Any]) -> dict[str, Any]:
    node, waits_for = warning["node"], warning.get("waits_for", [])
    return {"node": node, "waits_for": waits_for, "left_over": warning.get("left_over", 0)}


def firing_body(firing: FiringView) -> FiringBody:
    """One firing."""
    same = ("number", "node", "title", "block_id", "status", "attempt", "error", "started_ms", "ended_ms")
    values = {name: getattr(firing, name) for name in (*same, "microseconds", "kept_from", "causes")}
    apart = {name: plain_value(getattr(firing, name)) for name in ("inputs", "attempts", "waits", "usage")}
    return FiringBody(**values, **apart, outputs=_named(firing.outputs))


def event_body(number: int, record: Record) -> Event:
    """One record of the journal."""
    names = _FIELDS.get(record[0], ())
    fields = plain_value(masked(dict(zip(names, record[1:], strict=False))))
    return Event(number=number, kind=record[0], fields=fields)


def review_body(review: FoundReview) -> Review:
    """Something that a person decides."""
    return Review(
        execution_id=review.execution_id,
        root_id=review.root_id,
        graph_id=review.graph_id,
        firing=review.firing,
        node=review.node_id,
        message=str(review.payload.get("message") or ""),
        data=plain_value(masked(review.payload.get("data"))),
        editable=review.editable,
        status=review.status,
        created_at=review.created_at,
        decided_at=review.decided_at,
    )


def rerun_answer(started: ExecutionId | None, found: Rerun) -> RerunAnswer:
    """What a re-run keeps and repeats."""
    repeats = [Repeat(firing=number, node=node) for number, node in found.repeats]
    return RerunAnswer(execution_id=started, kept=found.kept, repeats=repeats, credits=found.cost, tokens=found.tokens)


def shared_run(row: ExecutionRow, name: str, description: str) -> SharedRun:
    """What a link shows."""
    outputs = _named([(name, masked(value)) for name, value in row.outputs])
    return SharedRun(name=name, description=description, status=row.status, created_at=row.created_at, outputs=outputs)
