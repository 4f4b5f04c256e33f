"""Is an agent fit to be saved, or to be run? Every problem is told at once, with its node, its pin and what to do."""

from collections import Counter
from collections.abc import Iterator

from treadle.features.graphs import flow_checks, node_checks, pin_checks
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.importer import AGENT_EXECUTOR
from treadle.features.graphs.view import GraphView, Problem
from treadle.sdk.registry import Registry


def validate(agent: AgentFile, registry: Registry, *, for_run: bool) -> list[Problem]:
    """Everything wrong with ``agent`` on this install, errors first.

    Without ``for_run`` the question is whether it may be saved: what is only unfinished is then a warning.
    """
    problems = list(_check_agent(agent))
    for graph in agent.graphs:
        view = GraphView(graph, registry, agent, for_run)
        for check in (*node_checks.CHECKS, *pin_checks.CHECKS, *flow_checks.CHECKS):
            problems.extend(check(view))
    return sorted(problems, key=lambda problem: problem.severity != "error")


def has_errors(problems: list[Problem]) -> bool:
    """Whether at least one of the problems forbids what was asked for."""
    return any(problem.severity == "error" for problem in problems)


def _check_agent(agent: AgentFile) -> Iterator[Problem]:
    for graph_id, count in Counter(graph.id for graph in agent.graphs).items():
        if count > 1:
            message = f"{count} graphs of the agent have the id {graph_id}"
            yield Problem("error", "duplicate_graph", message, "Give each graph its own id.", graph_id)
    yield from _check_recursion(agent)


def _check_recursion(agent: AgentFile) -> Iterator[Problem]:
    """Sub-agents that call themselves, directly or through each other, would never end."""
    graphs = {graph.id: graph for graph in agent.graphs}
    calls = {
        id: {str(node.input_default.get("graph_id")) for node in graph.nodes if node.block_id == AGENT_EXECUTOR}
        for id, graph in graphs.items()
    }
    for id, graph in graphs.items():
        if id in flow_checks.reachable(calls[id], calls):
            name = graph.name or id
            message = f"the agent {name} runs itself, directly or through its sub-agents"
            yield Problem("error", "recursive_agent", message, "Take the node out that closes the circle.", id)
