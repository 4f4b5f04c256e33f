"""What a person tells a run: stop, a decision, run again; and agents given out as files."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from treadle.base.errors import BadInput, Conflict, NotFound
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, GraphId
from treadle.engine.store import ExecutionRow
from treadle.features.executions.reviews import Decision
from treadle.features.executions.service import Again
from treadle.features.graphs.exporter import export_agent
from treadle.main.agent_input import read_value, split_pair
from treadle.main.node_titles import node_titles
from treadle.main.running import Terms, run_and_tell
from treadle.main.sessions import find_execution, looking_platform
from treadle.main.terminal import ask, counted, err, out, plain
from treadle.main.wiring import Platform


def carry_out(id: ExecutionId) -> int:
    """Let this process carry a run on until it rests, because no worker does; returns the exit code."""

    async def begin(platform: Platform) -> ExecutionId:
        return id

    return run_and_tell(begin, Terms())


async def stop_run(named: str) -> ExecutionId | None:
    """Stop a run. Gives its root's id when no worker is there to do it.

    Raises:
        Conflict: the run is over.
    """
    async with looking_platform() as platform:
        row = await find_execution(platform, named)
        await platform.executions.stop(LOCAL_WORKSPACE, row.id, reason="stopped with `treadle stop`")
        out().print(f"Stopping {row.id}.")
        return None if await platform.store.has_worker() else row.root_id


async def decide(
    named: str, firing: int, *, approved: bool, data: str | None, message: str, always: bool
) -> ExecutionId | None:
    """Decide on a review. Gives the root's id when no worker is there to go on with the run.

    Raises:
        BadInput: the data is no JSON.
        Conflict: nothing waits there for a decision.
    """
    values = {} if data is None else {"data": _parsed(data)}
    async with looking_platform() as platform:
        row = await find_execution(platform, named)
        await _check_open(platform, row, firing)
        decision = Decision(row.id, firing, approved, message=message, always=always, **values)
        await platform.executions.reviews.decide(LOCAL_WORKSPACE, decision)
        out().print("Approved." if approved else "Rejected.")
        return None if await platform.store.has_worker() else row.root_id


async def _check_open(platform: Platform, row: ExecutionRow, firing: int) -> None:
    reviews = await platform.executions.reviews.of_run(LOCAL_WORKSPACE, row.root_id, only_waiting=True)
    if not any(each.execution_id == row.id and each.firing == firing for each in reviews):
        where = ", ".join(f"{each.execution_id} {each.firing}" for each in reviews[:5])
        fix = f"What waits: {where}." if reviews else "`treadle show` tells how it stands."
        raise Conflict(f"Step {firing} of the run {row.id} does not wait for a decision.", fix=fix)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--data is not JSON: {error}.", fix="""Write it like --data '{"text": "Hello"}'.""") from None


async def repeated_by(named: str, firing: int, *, newest: bool) -> tuple[ExecutionId, list[tuple[int, str]]]:
    """The run that is meant, and which effects a re-run from the firing would repeat: (firing, node's name)."""
    async with looking_platform() as platform:
        row = await find_execution(platform, named)
        found = await platform.executions.rerun_preview(LOCAL_WORKSPACE, row.id, Again((firing,), newest=newest))
        titles = await node_titles(platform, row)
        return row.id, [(number, titles[node]) for number, node in found.repeats]


def agreed(repeats: list[tuple[int, str]]) -> bool:
    """Show which effects happen again, and ask whether that is wanted. Raises ``BadInput`` when nobody can answer."""
    console = err()
    console.print(f"{counted(len(repeats), 'step')} with effects outside will happen again:", style="yellow")
    for number, node in repeats[:20]:
        console.print(f"  step {number}: {plain(node)}")
    if len(repeats) > 20:
        console.print(f"  … and {len(repeats) - 20} more")
    if not sys.stdin.isatty():
        raise BadInput("Nobody can be asked whether that is wanted.", fix="Give --yes if it is.")
    return ask("Run again? [y/N] ").lower() in ("y", "yes")


def run_again(id: ExecutionId, firing: int, pairs: list[str], *, newest: bool, terms: Terms) -> int:
    """Run again from a firing, watched like a first run; returns the exit code."""

    async def begin(platform: Platform) -> ExecutionId:
        edits = await _edits(platform, id, firing, pairs)
        now_ms = time.time_ns() // 1_000_000
        again = Again((firing,), edits=edits, newest=newest)
        started, found = await platform.executions.rerun(LOCAL_WORKSPACE, id, again, now_ms=now_ms)
        if not terms.json:
            err().print(f"Kept {counted(found.kept, 'step')} of {id}.", style="dim")
        return started

    return run_and_tell(begin, terms)


async def _edits(platform: Platform, id: ExecutionId, firing: int, pairs: list[str]) -> Mapping[str, Any]:
    """New values of pins; text or JSON as the pin's schema says."""
    row = await platform.executions.get(LOCAL_WORKSPACE, id)
    firings = (await platform.executions.firings(LOCAL_WORKSPACE, row.id)).firings
    chosen = next((each for each in firings if each.number == firing), None)
    block = platform.registry.get(chosen.block_id) if chosen else None
    pins = block.reader.pins if block else {}
    split = [split_pair(pair) for pair in pairs]
    return {name: read_value(text, pins[name].schema if name in pins else None) for name, text in split}


async def export_graph(graph: str, version: int | None) -> None:
    """Print the agent file of a graph, sub-agents included, without secrets; by id or by name."""
    async with looking_platform() as platform:
        id = await _graph_id(platform, graph)
        try:
            agent = await platform.graphs.agent(LOCAL_WORKSPACE, id, version)
        except NotFound as error:
            raise BadInput(error.message, fix="`treadle list` shows the agents that ran last.") from None
        sys.stdout.write(export_agent(agent, platform.registry).decode())


async def _graph_id(platform: Platform, named: str) -> GraphId:
    fitting = await platform.graphs.named(LOCAL_WORKSPACE, named)
    if len(fitting) > 1:
        raise BadInput(f"{len(fitting)} agents have that name.", fix=f"Give an id: {', '.join(fitting[:5])}.")
    return GraphId(fitting[0] if fitting else named)
