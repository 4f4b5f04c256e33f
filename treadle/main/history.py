"""``treadle show`` and ``treadle list``: what ran, and what happened in it."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from treadle.base.ids import LOCAL_WORKSPACE
from treadle.engine.store import ExecutionRow
from treadle.engine.view import FiringView
from treadle.features.executions.listing import RunFilter, RunLine
from treadle.features.executions.times import began, seconds_of
from treadle.kernel.states import FINAL, Status
from treadle.main.sessions import find_execution, looking_platform
from treadle.main.terminal import one_line, out, plain, print_json, shown
from treadle.main.wiring import Platform
from treadle.web.executions.answers import firing_body, run_detail, run_summary

if TYPE_CHECKING:
    from rich.table import Table

_FIRINGS_SHOWN = 200
_BAR = 24
_STYLES = {Status.COMPLETED: "green", Status.FAILED: "red", Status.TERMINATED: "yellow"}
_FIRING_STYLES = {"completed": "green", "failed": "red", "review": "bold yellow"}


async def show_latest(limit: int, *, json: bool) -> None:
    """The latest runs."""
    async with looking_platform() as platform:
        lines = await platform.executions.lists.page(LOCAL_WORKSPACE, RunFilter(), limit=limit)
        if json:
            print_json([run_summary(line).model_dump(mode="json") for line in lines])
        elif lines:
            out().print(_runs_table(lines))
        else:
            out().print("Nothing has run yet. Start with: treadle run FILE")


def _runs_table(lines: list[RunLine]) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for name in ("run", "status", "agent", "started"):
        table.add_column(name, no_wrap=True, overflow="ellipsis" if name == "agent" else "fold")
    for name in ("took", "firings", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            short_id(line.id),
            line.status,
            one_line(line.graph_name or line.graph_id, 32),
            f"{line.created_at.astimezone():%m-%d %H:%M:%S}",
            f"{line.seconds:.1f} s",
            str(line.firings),
            str(line.failed or ""),
            style=_STYLES.get(Status(line.status), "cyan"),
        )
    return table


def short_id(id: UUID) -> str:
    """The end of a run's id, which commands take for the whole; its beginning is the time, alike in neighbours."""
    return id.hex[-12:]


def _moment(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


async def show_run(named: str, *, json: bool) -> None:
    """One run: how it stands, and every firing of it and of its sub-agents.

    Raises:
        BadInput, NotFound: no run fits the name, or several do.
    """
    async with looking_platform() as platform:
        row = await find_execution(platform, named)
        if json:
            print_json(await _run_json(platform, row))
            return
        _print_head(row)
        await _print_inputs(platform, row)
        for each in await platform.executions.family(LOCAL_WORKSPACE, row.id):
            await _print_timeline(platform, row, each)
        await _print_results(platform, row)


async def _run_json(platform: Platform, row: ExecutionRow) -> dict[str, Any]:
    """The run as over HTTP, with its firings, and its sub-agents in the same form."""
    detail = await run_detail(platform.executions, row)
    firings = (await platform.executions.firings(LOCAL_WORKSPACE, row.id)).firings
    family = await platform.executions.family(LOCAL_WORKSPACE, row.id)
    below = [await _run_json(platform, each) for each in family if each.parent_id == row.id]
    return {
        **detail.model_dump(mode="json"),
        "timeline": [firing_body(each).model_dump(mode="json") for each in firings],
        "sub_agents": below,
    }


def _print_head(row: ExecutionRow) -> None:
    console = out()
    console.print(f"{row.status}  {row.id}", style=f"bold {_STYLES.get(row.status, 'cyan')}")
    console.print(f"graph {plain(row.graph_id)}, version {row.graph_version}", style="dim")
    took = f"took {seconds_of(row):.2f} s, {row.firings} firings, {row.failed} failed"
    console.print(f"{_moment(row.created_at)}, {took}")
    if row.rerun_of:
        console.print(f"re-run of {row.rerun_of}")
    if row.wake_at and row.status not in FINAL:
        why = f": {row.deaths} workers in a row died while they had it" if row.deaths else ""
        console.print(f"goes on at {_moment(row.wake_at)}{why}")


async def _print_inputs(platform: Platform, row: ExecutionRow) -> None:
    detail = await run_detail(platform.executions, row)
    plan = await platform.executions.plan(row)
    names = {str(node.id): str(node.constants.get("name") or node.id) for node in plan.nodes}
    for node, values in detail.inputs.items():
        for value in values.values():
            out().print(f"input   {plain(names[node])}: {shown(value, 500)}")


async def _print_timeline(platform: Platform, root: ExecutionRow, row: ExecutionRow) -> None:
    from rich.table import Table  # noqa: PLC0415

    firings = (await platform.executions.firings(LOCAL_WORKSPACE, row.id)).firings
    if row.id != root.id:
        out().print(f"\nsub-agent {row.id}: {row.status}, started by firing {row.parent_firing}", style="bold")
    titles = await _titles(platform, row)
    table = Table("#", "node", "status", "try", box=None, pad_edge=False)
    table.add_column("after", justify="right")
    table.add_column("took", justify="right")
    table.add_column("")
    begun = int((began(root.id, root.created_at, root.started_at) or root.created_at).timestamp() * 1000)
    whole = max(seconds_of(root) * 1000, 1.0)
    for firing in firings[:_FIRINGS_SHOWN]:
        title = one_line(firing.title or titles.get(firing.node, firing.node), 36)
        start = max((firing.started_ms or begun) - begun, 0)
        took = firing.microseconds / 1000
        cells = (f"{start} ms", f"{took:.1f} ms", bar(start, took, whole))
        status = "kept" if firing.kept_from else firing.status
        style = _FIRING_STYLES.get(firing.status, "cyan")
        table.add_row(str(firing.number), title, status, str(firing.attempt), *cells, style=style)
    out().print(table)
    if len(firings) > _FIRINGS_SHOWN:
        out().print(f"… and {len(firings) - _FIRINGS_SHOWN} more firings; --json shows all.", style="dim")
    for firing in firings[:_FIRINGS_SHOWN]:
        _print_trouble(firing)


async def _titles(platform: Platform, row: ExecutionRow) -> dict[str, str]:
    """What to call nodes that have no name of their own: their blocks' titles."""
    plan = await platform.executions.plan(row)
    blocks = {node.id: platform.registry.get(node.block_id) for node in plan.nodes}
    return {node: block.title for node, block in blocks.items() if block is not None}


def bar(start: float, took: float, whole: float) -> str:
    """A firing's place in the time of the run."""
    left = min(int(start / whole * _BAR), _BAR - 1)
    length = max(1, min(round(took / whole * _BAR), _BAR - left))
    return "·" * left + "█" * length + "·" * (_BAR - left - length)


def _print_trouble(firing: FiringView) -> None:
    for attempt in firing.attempts:
        message = f"firing {firing.number}, attempt {attempt['attempt']} failed: {one_line(attempt['error'], 300)}"
        out().print(message, style="yellow")
    if firing.error:
        out().print(f"firing {firing.number} failed: {shown(firing.error, 1_000)}", style="red")
        for pin, value in firing.inputs.items():
            out().print(f"    {plain(pin)}: {one_line(value, 160)}", style="dim")


async def _print_results(platform: Platform, row: ExecutionRow) -> None:
    for name, value in await platform.executions.outputs(row):
        out().print(f"output  {plain(name)}: {shown(value)}")
    for warning in row.warnings:
        pins = ", ".join(warning["waits_for"]) or "nothing"
        text = f"node {warning['node']}: {warning['left_over']} values left over, waited for {pins}"
        out().print(f"warning {plain(text)}", style="yellow")
    if row.error:
        out().print(f"error   {plain(row.error)}", style="red")
    for review in await platform.executions.reviews.of_run(LOCAL_WORKSPACE, row.root_id, only_waiting=True):
        question = one_line(review.payload.get("message") or "A person has to decide.", 200)
        out().print(f"review  {question}", style="bold yellow")
        out().print(f"        treadle decide {review.execution_id} {review.firing} --approve (or --reject)")
