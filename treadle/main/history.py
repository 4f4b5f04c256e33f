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
from treadle.main.node_titles import node_titles
from treadle.main.sessions import find_execution, looking_platform
from treadle.main.terminal import counted, named, one_line, out, plain, print_json, print_table, program, room, shown
from treadle.main.wiring import Platform
from treadle.web.executions.answers import firing_body, run_detail, run_summary
from treadle.web.executions.bodies import RunDetail

if TYPE_CHECKING:
    from rich.table import Table

_FIRINGS_SHOWN = 200
_BAR = 24
_SHORTEST_BAR = 8
_SHORTEST_TITLE, _LONGEST_TITLE = 8, 36
_RUN_COLUMNS = 50
"""What the columns of a run's row take, its agent's name aside."""
_STEP_COLUMNS = 40
"""What the columns of a step's row take, its node's title and its bar aside."""
_STYLES = {Status.COMPLETED: "green", Status.FAILED: "red", Status.TERMINATED: "yellow"}
_FIRING_STYLES = {"completed": "green", "failed": "red", "review": "bold yellow"}


async def show_latest(limit: int, *, json: bool) -> None:
    """The latest runs."""
    async with looking_platform() as platform:
        lines = await platform.executions.lists.page(LOCAL_WORKSPACE, RunFilter(), limit=limit)
        if json:
            print_json([run_summary(line).model_dump(mode="json") for line in lines])
        elif lines:
            print_table(_runs_table(lines))
        else:
            out().print(f"Nothing has run yet. Start with: {program()} run FILE")


def _runs_table(lines: list[RunLine]) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, justify in (("run", "left"), ("status", "left"), ("started", "left"), ("took", "right")):
        table.add_column(name, no_wrap=True, justify=justify)  # type: ignore[arg-type]
    table.add_column("steps", no_wrap=True, justify="right")
    table.add_column("agent", no_wrap=True, overflow="ellipsis")
    today = datetime.now().astimezone().date()
    for line in lines:
        created = line.created_at.astimezone()
        table.add_row(
            short_id(line.id),
            line.status,
            f"{created:%H:%M:%S}" if created.date() == today else f"{created:%Y-%m-%d}",
            duration(line.seconds),
            f"{line.firings:,}",
            one_line(line.graph_name or line.graph_id, max(8, room() - _RUN_COLUMNS)),
            style=_STYLES.get(Status(line.status), "cyan"),
        )
    return table


def duration(seconds: float) -> str:
    """A time that a run took, in the unit that suits it: ``0.3 s``, ``12.5 min``, ``3.2 h``."""
    if seconds < 600:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 36_000 else f"{seconds / 3600:,.1f} h"


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
        detail = await run_detail(platform.executions, row)
        _print_head(row, detail.graph_name)
        await _print_inputs(platform, row, detail)
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


def _print_head(row: ExecutionRow, name: str) -> None:
    console = out()
    console.print(f"{row.status}  {row.id}", style=f"bold {_STYLES.get(row.status, 'cyan')}")
    console.print(f"{plain(name or row.graph_id)}, version {row.graph_version}", style="dim")
    took = f"took {seconds_of(row):.2f} s, {counted(row.firings, 'step')}, {row.failed:,} failed"
    console.print(f"{_moment(row.created_at)}, {took}")
    if row.rerun_of:
        console.print(f"re-run of {row.rerun_of}")
    if row.wake_at and row.status not in FINAL:
        why = f": {row.deaths} workers in a row died while they had it" if row.deaths else ""
        console.print(f"goes on at {_moment(row.wake_at)}{why}")


async def _print_inputs(platform: Platform, row: ExecutionRow, detail: RunDetail) -> None:
    plan = await platform.executions.plan(row)
    names = {str(node.id): str(node.constants.get("name") or node.id) for node in plan.nodes}
    for node, values in detail.inputs.items():
        for value in values.values():
            out().print(f"input   {named(names[node], value, 500)}")


async def _print_timeline(platform: Platform, root: ExecutionRow, row: ExecutionRow) -> None:
    from rich.table import Table  # noqa: PLC0415

    firings = (await platform.executions.firings(LOCAL_WORKSPACE, row.id)).firings
    if row.id != root.id:
        out().print(f"\nsub-agent {row.id}: {row.status}, started by step {row.parent_firing}", style="bold")
    known = await node_titles(platform, row)
    titles = [one_line(each.title or known.get(each.node, each.node), _LONGEST_TITLE) for each in firings]
    node, drawn = widths(max(map(len, titles), default=0), room())
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("#", "node", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("try", "after", "took"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("", no_wrap=True)
    begun = int((began(root.id, root.created_at, root.started_at) or root.created_at).timestamp() * 1000)
    whole = max(seconds_of(root) * 1000, 1.0)
    for firing, title in zip(firings[:_FIRINGS_SHOWN], titles, strict=False):
        start = max((firing.started_ms or begun) - begun, 0)
        took = firing.microseconds / 1000
        cells = (f"{start} ms", f"{took:.1f} ms", bar(start, took, whole, drawn))
        status = "kept" if firing.kept_from else firing.status
        style = _FIRING_STYLES.get(firing.status, "cyan")
        table.add_row(str(firing.number), one_line(title, node), status, str(firing.attempt), *cells, style=style)
    print_table(table)
    if len(firings) > _FIRINGS_SHOWN:
        out().print(f"… and {counted(len(firings) - _FIRINGS_SHOWN, 'more step')}; --json shows all.", style="dim")
    for firing in firings[:_FIRINGS_SHOWN]:
        _print_trouble(firing)


def widths(title: int, columns: int) -> tuple[int, int]:
    """How many columns of a line the titles of nodes take, and the bars of time; there are no bars where it is narrow.

    ``title`` is the length of the longest title.
    """
    free = columns - _STEP_COLUMNS
    title = max(title, _SHORTEST_TITLE)
    bars = min(_BAR, free - title - 1)
    return max(min(title, free), _SHORTEST_TITLE), bars if bars >= _SHORTEST_BAR else 0


def bar(start: float, took: float, whole: float, length: int = _BAR) -> str:
    """A step's place in the time of the run, ``length`` columns long."""
    if not length:
        return ""
    left = min(int(start / whole * length), length - 1)
    filled = max(1, min(round(took / whole * length), length - left))
    return "·" * left + "█" * filled + "·" * (length - left - filled)


def _print_trouble(firing: FiringView) -> None:
    for attempt in firing.attempts:
        message = f"step {firing.number}, try {attempt['attempt']} failed: {one_line(attempt['error'], 300)}"
        out().print(message, style="yellow")
    if firing.error:
        out().print(f"step {firing.number} failed: {shown(firing.error, 1_000)}", style="red")
        for pin, value in firing.inputs.items():
            out().print(f"    {plain(pin)}: {one_line(value, 160)}", style="dim")


async def _print_results(platform: Platform, row: ExecutionRow) -> None:
    for name, value in await platform.executions.outputs(row):
        out().print(f"output  {named(name, value)}")
    titles = await node_titles(platform, row) if row.warnings else {}
    for warning in row.warnings:
        pins = ", ".join(warning["waits_for"]) or "nothing"
        text = f"{titles[warning['node']]}: {counted(warning['left_over'], 'value')} left over, waited for {pins}"
        out().print(f"warning {plain(text)}", style="yellow")
    if row.error:
        out().print(f"error   {plain(row.error)}", style="red")
    for review in await platform.executions.reviews.of_run(LOCAL_WORKSPACE, row.root_id, only_waiting=True):
        question = one_line(review.payload.get("message") or "A person has to decide.", 200)
        out().print(f"review  {question}", style="bold yellow")
        out().print(f"        {program()} decide {review.execution_id} {review.firing} --approve (or --reject)")
