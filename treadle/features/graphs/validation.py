"""Is an agent fit to be saved, or to be run? Every problem is told at once, with its node, its pin and what to do."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from treadle.features.graphs import flow_checks, node_checks, pin_checks
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.importer import SUB_AGENT_BLOCKS
from treadle.features.graphs.view import GraphView, Problem
from treadle.sdk.registry import Registry

MAX_PROBLEMS = 2_000
"""A file with more is not looked at further; it is refused."""


def validate(agent: AgentFile, registry: Registry, *, for_run: bool, complete: bool = False) -> list[Problem]:
    """Everything wrong with ``agent`` on this install, errors first.

    Without ``for_run`` the question is whether it may be saved: what is only unfinished is then a warning.
    ``complete`` says that the agent holds every sub-agent that there is, so that others are missing.
    """
    problems = list(islice(_all_problems(agent, registry, for_run, complete), MAX_PROBLEMS))
    if len(problems) == MAX_PROBLEMS:
        message = f"more than {MAX_PROBLEMS} problems were found, and the rest was not looked for"
        problems.append(Problem("error", "too_many_problems", message, "Mend those that are listed first.", agent.id))
    return sorted(problems, key=lambda problem: problem.severity != "error")


def _all_problems(agent: AgentFile, registry: Registry, for_run: bool, complete: bool) -> Iterator[Problem]:
    yield from _check_agent(agent)
    schemas: dict[tuple[str, int, str], dict[str, Any]] = {}
    for graph in agent.graphs:
        view = GraphView(graph, registry, agent, for_run, schemas)
        for check in (*flow_checks.CHECKS, *node_checks.CHECKS, *pin_checks.CHECKS):
            yield from check(view)
        if complete:
            yield from _check_sub_agents(view)


def has_errors(problems: list[Problem]) -> bool:
    """Whether at least one of the problems forbids what was asked for."""
    return any(problem.severity == "error" for problem in problems)


def _check_agent(agent: AgentFile) -> Iterator[Problem]:
    for (id, version), count in Counter((graph.id, graph.version) for graph in agent.graphs).items():
        if count > 1:
            message = f"{count} graphs of the agent have the id {id} and the version {version}"
            yield Problem("error", "duplicate_graph", message, "Give each graph its own id.", id)
    yield from _check_recursion(agent)


def _check_sub_agents(view: GraphView) -> Iterator[Problem]:
    """The sub-agents that the graph's nodes name are there."""
    for node in view.nodes.values():
        child = node.input_default.get("graph_id")
        if node.block_id in SUB_AGENT_BLOCKS and isinstance(child, str) and child not in view.graphs:
            message = f"there is no agent {child}, which the node runs; it may have been deleted"
            fix = "Choose another agent, or bring it back."
            yield view.worse_when_run(node, "missing_agent", message, fix, "graph_id")


def _check_recursion(agent: AgentFile) -> Iterator[Problem]:
    """Sub-agents that call themselves, directly or through each other, would never end."""
    calls = {
        id: {
            str(node.input_default.get("graph_id"))
            for graph in graphs
            for node in graph.nodes
            if node.block_id in SUB_AGENT_BLOCKS
        }
        for id, graphs in agent.by_id().items()
    }
    for id, graphs in agent.by_id().items():
        if id in flow_checks.reachable(calls[id], calls):
            name = graphs[0].name or id
            message = f"the agent {name} runs itself, directly or through its sub-agents"
            yield Problem("error", "recursive_agent", message, "Take the node out that closes the circle.", id)
