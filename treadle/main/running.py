"""Runs that a person starts from the terminal: started, watched, decided on, stopped, and told how they ended."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.base.errors import BadInput, Conflict
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, GraphId
from treadle.engine.store import ExecutionRow
from treadle.features.executions.reviews import Decision, Review
from treadle.features.executions.times import seconds_of
from treadle.features.graphs.document import AgentFile
from treadle.kernel.states import FINAL, Status
from treadle.main.node_titles import node_titles
from treadle.main.sessions import run_async, settings_of_person
from treadle.main.terminal import (
    FAILED,
    ask,
    both_ends,
    counted,
    err,
    named,
    one_line,
    out,
    plain,
    print_json,
    program,
    shown,
)
from treadle.main.watching import until_over
from treadle.main.wiring import Platform, running_platform, tune_garbage_collector
from treadle.web.executions.answers import run_report

_STOP_SECONDS = 10.0
_OUTPUTS_SHOWN = 100

Begin = Callable[[Platform], Awaitable[ExecutionId]]


@dataclass(slots=True)
class Terms:
    """How a run is watched."""

    json: bool = False
    timeout: float | None = None
    """Seconds after which the run is stopped."""

    @property
    def live(self) -> bool:
        """Whether somebody sees the progress."""
        return not self.json and sys.stderr.isatty()

    @property
    def asks(self) -> bool:
        """Whether somebody can answer."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()


@dataclass(slots=True)
class _Session:
    """One run in one terminal."""

    platform: Platform
    terms: Terms

    async def follow(self, id: ExecutionId) -> ExecutionRow:
        """Watch the run to its end; Ctrl-C and the time limit stop it."""
        watching = asyncio.ensure_future(until_over(self.platform, id, self.on_review, live=self.terms.live))
        with _on_interrupt(watching.cancel):
            try:
                return await asyncio.wait_for(watching, self.terms.timeout)
            except TimeoutError:
                return await self._stop(id, f"stopped after {self.terms.timeout:g} seconds, as asked with --timeout")
            except asyncio.CancelledError:
                return await self._stop(id, "stopped with Ctrl-C")

    async def _stop(self, id: ExecutionId, reason: str) -> ExecutionRow:
        with contextlib.suppress(Conflict):  # it ended at the same moment
            await self.platform.executions.stop(LOCAL_WORKSPACE, id, reason=reason)
        finished = self.platform.worker.finished(LOCAL_WORKSPACE, id)
        try:
            return await asyncio.wait_for(finished, _STOP_SECONDS)
        except TimeoutError:
            err().print("The run has not stopped yet; it will as soon as what it waits for lets go.", style="yellow")
            return await self.platform.executions.get(LOCAL_WORKSPACE, id)

    async def on_review(self, row: ExecutionRow) -> bool:
        """Ask the person, one review after the other; False when there is nobody to ask."""
        waiting = self.platform.executions.reviews
        reviews = await waiting.of_run(LOCAL_WORKSPACE, row.root_id, only_waiting=True)
        if reviews and not self.terms.asks:
            return False
        for review in reviews:  # there are none when all is decided and the run is about to go on
            decision = await asyncio.to_thread(_ask, review)
            if decision is None:
                return False
            await waiting.decide(LOCAL_WORKSPACE, Decision(review.execution_id, review.firing, **decision))
        return True


def start_run(agent: AgentFile, inputs: dict[str, Any], terms: Terms) -> int:
    """Save an agent, run it with these inputs, and tell how it went; returns the exit code."""

    async def begin(platform: Platform) -> ExecutionId:
        saved = await platform.graphs.save(LOCAL_WORKSPACE, agent)
        return await platform.executions.start(LOCAL_WORKSPACE, GraphId(saved.id), inputs, version=saved.version)

    return run_and_tell(begin, terms)


def run_and_tell(begin: Begin, terms: Terms) -> int:
    """Start a run, watch it, tell how it went; returns the exit code."""
    return run_async(_run_and_tell(begin, terms))


async def _run_and_tell(begin: Begin, terms: Terms) -> int:
    async with _platform() as platform:
        id = await begin(platform)
        row = await _Session(platform, terms).follow(id)
        if terms.json:
            print_json((await run_report(platform.executions, row)).model_dump(mode="json"))
        else:
            await _tell(platform, row)
        return 0 if row.status is Status.COMPLETED else FAILED


@contextlib.asynccontextmanager
async def _platform() -> AsyncIterator[Platform]:
    async with running_platform(settings_of_person()) as platform:
        tune_garbage_collector()
        yield platform


@contextlib.contextmanager
def _on_interrupt(act: Callable[[], Any]) -> Any:
    """Ctrl-C and SIGTERM call ``act`` the first time; the second time they do what they always do."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def once() -> None:
        for each in signals:
            loop.remove_signal_handler(each)
        err().print("Stopping the run…", style="yellow")
        act()

    for each in signals:
        loop.add_signal_handler(each, once)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def _ask(review: Review) -> dict[str, Any] | None:
    """Show a review and read the decision; None when the person leaves it for later."""
    console = err()
    console.print(plain(str(review.payload.get("message") or "A person has to decide.")), style="bold")
    console.print(shown(review.payload.get("data")))
    choices = "[a]pprove, [r]eject" + (", [e]dit and approve" if review.editable else "") + ", [l]ater: "
    while True:
        match ask(choices).lower()[:1]:
            case "a":
                return {"approved": True}
            case "r":
                return {"approved": False, "message": ask("Why (may be empty): ")}
            case "e" if review.editable:
                return {"approved": True, "data": _edited(review.payload.get("data"))}
            case "l" | "":
                return None


def _edited(data: Any) -> Any:
    """What the person makes of the data in their editor: text stays text, everything else is JSON."""
    if isinstance(data, str):
        return _in_editor(data, ".txt").removesuffix("\n")
    text = json.dumps(data, indent=2, ensure_ascii=False)
    while True:
        text = _in_editor(text, ".json")
        try:
            return json.loads(text)
        except ValueError as error:
            err().print(f"That is not JSON: {error}; the editor opens again.", style="red")


def _in_editor(text: str, suffix: str) -> str:
    """The text after the person has changed it in the editor of their choice."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"data{suffix}")
        file.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise BadInput(f"The editor {editor} failed: {error}.", fix="Set EDITOR to one that works.") from None
        return file.read_text(encoding="utf-8")


async def _tell(platform: Platform, row: ExecutionRow) -> None:
    outputs = await platform.executions.outputs(row)
    console = out()
    for name, value in outputs[:_OUTPUTS_SHOWN]:
        console.print(named(name, value))
    notes = err()
    if len(outputs) > _OUTPUTS_SHOWN:
        notes.print(f"… and {counted(len(outputs) - _OUTPUTS_SHOWN, 'more output')}; --json shows all.")
    titles = await node_titles(platform, row) if row.warnings or row.failures else {}
    for warning in row.warnings:
        notes.print(_warning(warning, titles), style="yellow")
    for failure in row.failures if row.status is Status.FAILED else []:
        where = f"step {failure['firing']}, {plain(titles.get(failure['node'], failure['node']))}"
        notes.print(f"Failed: {where}: {both_ends(failure['message'])}", style="red")
    style = {Status.COMPLETED: "green", Status.FAILED: "red"}.get(row.status, "yellow")
    notes.print(f"{row.status} after {counted(row.firings, 'step')} in {seconds_of(row):.2f} s", style=style)
    if row.error and row.status is not Status.FAILED:
        notes.print(plain(row.error))
    if row.status not in FINAL:
        await _tell_reviews(platform, row)
    notes.print(f"Everything that happened: {program()} show {row.id}", style="dim")


def _warning(warning: dict[str, Any], titles: dict[str, str]) -> str:
    pins = ", ".join(warning["waits_for"]) or "nothing"
    name = titles.get(warning["node"], warning["node"])
    return plain(f"{name} has {counted(warning['left_over'], 'value')} left over; it still waited for: {pins}.")


async def _tell_reviews(platform: Platform, row: ExecutionRow) -> None:
    notes = err()
    for review in await platform.executions.reviews.of_run(LOCAL_WORKSPACE, row.root_id, only_waiting=True):
        message = one_line(review.payload.get("message") or "A person has to decide.")
        notes.print(f"Waits for a decision: {message}", style="bold")
        notes.print(shown(review.payload.get("data"), 500))
        notes.print(f"Decide with: {program()} decide {review.execution_id} {review.firing} --approve (or --reject)")
