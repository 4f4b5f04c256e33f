"""Watching a run from the terminal: what each node is doing, until the run is over or needs a person."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, NodeId
from treadle.engine.run import Run
from treadle.engine.store import ExecutionRow
from treadle.kernel.states import FINAL, Status
from treadle.main.terminal import err, one_line, plain
from treadle.main.wiring import Platform

if TYPE_CHECKING:
    from rich.table import Table

_REFRESHES = 8
"""A second."""
_POLL_SECONDS = 0.15
_ROWS = 30

OnRest = Callable[[ExecutionRow], Awaitable[bool]]
"""Told of a run that waits for a person; whether to go on watching."""


@dataclass(slots=True)
class _Line:
    """What one node has done so far, in the run or in one of its sub-agents."""

    title: str
    ended: int = 0
    failed: int = 0
    running: int = 0
    microseconds: int = 0


@dataclass(slots=True)
class Watch:
    """The live picture of one run. Reads what the worker of this process holds; costs the run nothing."""

    platform: Platform
    id: ExecutionId
    said: dict[NodeId, str] = field(default_factory=dict)
    """The latest live text of nodes that stream."""
    started: float = field(default_factory=time.monotonic)
    _last: list[_Line] = field(default_factory=list)

    def hear(self, execution: ExecutionId, node: NodeId, firing: int, text: str) -> None:
        """Live text of a node; implements ``treadle.main.doors.OnProgress``."""
        root = self.platform.worker.roots.get(self.id)
        if root is not None and execution in root.runs:
            self.said[node] = (self.said.get(node, "") + text)[-400:]

    def __rich__(self) -> "Table":
        from rich.table import Table  # noqa: PLC0415

        lines = self._lines()
        table = Table(title=f"running for {time.monotonic() - self.started:.1f} s", title_justify="left", box=None)
        table.add_column("node", overflow="ellipsis", no_wrap=True, max_width=48)
        for name in ("runs", "now", "failed", "time"):
            table.add_column(name, justify="right")
        busiest = sorted(lines, key=lambda line: not line.running)[:_ROWS] if len(lines) > _ROWS else lines
        for line in busiest:
            style = "yellow" if line.running else "red" if line.failed else "green" if line.ended else "dim"
            numbers = (str(line.ended), str(line.running or ""), str(line.failed or ""), _time(line.microseconds))
            table.add_row(line.title, *numbers, style=style)
        for text in list(self.said.values())[-3:]:
            table.add_row(one_line(text[-48:], 48), style="dim italic")
        return table

    def _lines(self) -> list[_Line]:
        root = self.platform.worker.roots.get(self.id)
        if root is not None:
            self._last = list(_lines_of(root.runs.values()))
        return self._last


def _lines_of(runs: Iterable[Run]) -> Iterable[_Line]:
    for run in list(runs):
        running = Counter(run.machine.firings[number].node for number in run.tasks if number in run.machine.firings)
        for index, counts in enumerate(run.summary.nodes):
            if counts[0] or running[index] or run.parent is None:
                title = "  " * run.depth + plain(run.title(index))
                yield _Line(title, counts[0], counts[1], running[index], counts[2])


def _time(microseconds: int) -> str:
    if not microseconds:
        return ""
    return f"{microseconds / 1000:.1f} ms" if microseconds < 1_000_000 else f"{microseconds / 1_000_000:.1f} s"


async def until_over(platform: Platform, id: ExecutionId, on_review: OnRest, *, live: bool) -> ExecutionRow:
    """Wait until the run is over, or ``on_review`` gives up; with ``live`` its nodes are shown meanwhile."""
    told: object = None
    while True:
        row = await _watched(platform, id, live=live)
        if row.status in FINAL:
            return row
        if row.status is Status.REVIEW:
            if not await on_review(row):
                return row
        elif row.wake_at != told:
            told = row.wake_at
            until = f"until {row.wake_at.astimezone():%Y-%m-%d %H:%M:%S}" if row.wake_at else "for an event"
            err().print(f"The run waits {until}; it costs nothing meanwhile. Ctrl-C stops it.")
        await asyncio.sleep(_POLL_SECONDS)


async def _watched(platform: Platform, id: ExecutionId, *, live: bool) -> ExecutionRow:
    finished = platform.worker.finished(LOCAL_WORKSPACE, id, resting=True)
    if not live or id not in platform.worker.roots:  # what rests has nothing to show
        return await finished
    from rich.live import Live  # noqa: PLC0415 (not needed where nobody watches)

    watch = Watch(platform, id)
    platform.doors.on_progress = watch.hear
    task = asyncio.ensure_future(finished)
    try:
        # Drawn from this loop, not from rich's thread: what it reads changes only between two turns of the loop.
        with Live(watch, console=err(), auto_refresh=False, transient=True) as screen:
            while not task.done():
                await asyncio.wait({task}, timeout=1 / _REFRESHES)
                screen.refresh()
        return task.result()
    finally:
        task.cancel()
