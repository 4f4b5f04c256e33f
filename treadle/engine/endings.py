"""How the runs of a tree end, and how each sub-agent's end comes into one commit with what its parent makes of it.

A sub-agent that is over is so in memory at once, but its end is not written before the block that reads it has had its
turn: whatever that block records next takes the end into the same commit. A block that has read an end and waits for
something else has made nothing of it for now; then the end is written alone.
"""

import asyncio
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from treadle.engine.journal import Journal
from treadle.engine.run import Run
from treadle.engine.summary import OUTPUTS_KEPT, summary_row
from treadle.kernel.states import Status

if TYPE_CHECKING:
    from treadle.engine.root import Root

TURNS = 8
"""Turns of the loop that a block has to make something of an end that it has read. None of them waits for anything."""
REACTIONS = frozenset({"out", "note", "end", "retry", "wait", "tool"})
"""Records by which a firing shows that it has gone on."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run stood when its worker let go of it, which is durable: over, or waiting for a person or an event."""

    status: Status
    outputs: Sequence[tuple[str, Any]]
    """The first of them, large ones included."""
    error: str | None
    warnings: list[dict[str, Any]]
    firings: int
    seconds: float
    """Since it was created."""


class Endings:
    """Writes the ends of one tree's runs."""

    def __init__(self, root: "Root", journal: Journal) -> None:
        self._tree = weakref.ref(root)
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self.held: dict[tuple[Run, int], dict[Run, bool]] = {}
        """Sub-agents whose ends are not written yet, by the firing that started them; true for those it has read."""
        self._elsewhere: Counter[tuple[Run, int]] = Counter()
        """How many sub-agents and tools a firing's block waits for."""

    @property
    def _root(self) -> "Root":
        """Not held: a root stands in no circle, so that it is freed as soon as its worker forgets it."""
        root = self._tree()
        assert root is not None
        return root

    # ---- one run ------------------------------------------------------------------------------------------------

    def close(self, run: Run, status: Status, error: str | None) -> None:
        """The run has come to its end by itself."""
        run.closed = (status.value, error)
        if not self._hold(run):
            self._write(run)
        run.grown()

    def cut_off(self, run: Run, status: Status, reason: str) -> None:
        """End a run under its blocks, which are cancelled."""
        self._root.record(run, ("stop", reason, self._root.now_ms()))
        run.cancel()
        run.machine.stopped(reason)
        run.closed = (status.value, reason)
        self._write(run)
        run.grown()

    def end_children(self, run: Run, firing: int) -> None:
        """A firing is over, and its sub-agents with it: nobody can read them any more."""
        self.taken(run, firing)
        for child in run.children.pop(firing, {}).values():
            for number in list(child.children):
                self.end_children(child, number)
            if child.closed is None:
                self.cut_off(child, Status.TERMINATED, "The step that started it is over.")
            child.unreadable = True
            self.forget(child)

    def forget(self, run: Run) -> None:
        """Drop a sub-agent of which nothing runs any more, and which nobody can read."""
        if run.unreadable and not run.tasks:
            self._root.runs.pop(run.id, None)
            run.inline_context = None  # as in ``Root.abandon``

    def change(self, run: Run, status: Status, error: str | None, wake_ms: int | None = None) -> None:
        """The run's summary row, in the next commit."""
        root = self._root
        outputs = root.large.recorded_outputs(run.machine.outputs[:OUTPUTS_KEPT], self._journal, root)
        row = summary_row(run.machine, run.summary, status, error, run.seq, outputs)
        wake = None if wake_ms is None else datetime.fromtimestamp(wake_ms / 1000, UTC)
        row.update(id=run.id, root_id=root.id, wake_at=wake)
        root.batch().changed[run.id] = row
        if run is root.main:
            seconds = max(0, root.now_ms() - (run.id.int >> 80)) / 1000
            shown = run.machine.outputs[:OUTPUTS_KEPT]
            root.ended = Ended(status, shown, error, row["warnings"], row["firings"], seconds)

    def _write(self, run: Run) -> None:
        """The end of a run that is over, its summary, and its parent's record of it."""
        assert run.closed is not None
        root, (status, error) = self._root, run.closed
        now = root.now_ms()
        root.record(run, ("close", status, now, error or ""))
        self.change(run, Status(status), error)
        root.services.doors.close_files(run.id)
        if run.spilling:
            root.batch().spent.append(run.id)
        if run.parent is not None:
            parent, firing, slot = run.parent
            starter = parent.machine.firings.get(firing)
            if starter is not None:
                root.record(parent, ("sub", firing, slot, str(run.id), status, error or "", now, starter.node))

    # ---- ends that their parents have not taken -----------------------------------------------------------------

    def _hold(self, child: Run) -> bool:
        """Keep the end until the parent's block takes it, unless it waits for something else instead of reading it."""
        if child.parent is None:
            return False
        run, firing, _ = child.parent
        if run.closed is not None or firing not in run.machine.firings:
            return False
        if child.listener is None and self._elsewhere[run, firing]:
            return False
        self.held.setdefault((run, firing), {})[child] = False
        return True

    def reacted(self, run: Run, firing: int) -> None:
        """The firing goes on: what it does next shares the commit of the ends that it knows.

        One that is being read and whose reader has not had its turn is not among them: it comes with what follows.
        """
        for child, read in list(self.held.get((run, firing), {}).items()):
            if read or child.listener is None:
                self._release(child)

    def taken(self, run: Run, firing: int) -> None:
        """The firing is about to be over: what it does next shares the commit of all these ends."""
        for child in self.held.pop((run, firing), ()):
            self._write(child)

    def all_taken(self) -> None:
        """Every firing is about to be over."""
        while self.held:
            self.taken(*next(iter(self.held)))

    def left(self, child: Run) -> None:
        """The parent's block reads ``child`` no more: it has a few turns to make something of its end."""
        assert child.parent is not None
        held = self.held.get(child.parent[:2])
        if held is not None and child in held:
            held[child] = True
            self._loop.call_soon(self._write_later, child, TURNS)

    def awaits(self, run: Run, firing: int) -> None:
        """The firing's block waits for a sub-agent or a tool: an end that it does not read now, it reads later."""
        self._elsewhere[run, firing] += 1
        for child, read in list(self.held.get((run, firing), {}).items()):
            if not read and child.listener is None:
                self._release(child)

    def goes_on(self, run: Run, firing: int) -> None:
        """What it waited for has come, or it is cut off."""
        self._elsewhere[run, firing] -= 1
        if not self._elsewhere[run, firing]:
            del self._elsewhere[run, firing]

    def rest(self) -> None:
        """The root is put to sleep: ends that nobody has read wait with it."""
        for held in list(self.held.values()):
            for child, read in list(held.items()):
                if read:
                    self._release(child)
                else:
                    self.change(child, Status.WAITING, None)

    def _write_later(self, child: Run, turns: int) -> None:
        assert child.parent is not None
        root = self._tree()
        if root is None or root.over or child not in self.held.get(child.parent[:2], ()):
            return
        if turns:
            self._loop.call_soon(self._write_later, child, turns - 1)
        else:
            self._release(child)

    def _release(self, child: Run) -> None:
        """Write an end that was held."""
        assert child.parent is not None
        key = child.parent[:2]
        held = self.held[key]
        del held[child]
        if not held:
            del self.held[key]
        self._write(child)
