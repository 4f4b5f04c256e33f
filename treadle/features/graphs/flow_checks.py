"""Checks of how a graph hangs together: where it starts, what can never run, and Collect nodes in loops."""

from collections.abc import Iterable, Iterator, Mapping

from treadle.features.graphs.view import GraphView, Problem
from treadle.sdk.block import BlockKind


def reachable(starts: Iterable[str], following: Mapping[str, Iterable[str]]) -> set[str]:
    """Everything that can be reached from ``starts``, these included."""
    seen: set[str] = set()
    todo = list(starts)
    while todo:
        each = todo.pop()
        if each not in seen:
            seen.add(each)
            todo.extend(following.get(each, ()))
    return seen


def following(view: GraphView) -> dict[str, list[str]]:
    """For each node the nodes that its links lead to."""
    return {id: [link.sink_id for link in view.outgoing.get(id, ())] for id in view.nodes}


def on_cycles(following: Mapping[str, list[str]]) -> set[str]:
    """The nodes that can reach themselves, in linear time (strongly connected components after Kosaraju)."""
    before: dict[str, list[str]] = {id: [] for id in following}
    for id, others in following.items():
        for other in others:
            before[other].append(id)
    found = {id for id, others in following.items() if id in others}
    seen: set[str] = set()
    for start in reversed(_finish_order(following)):
        component = []
        todo = [start]
        while todo:
            each = todo.pop()
            if each not in seen:
                seen.add(each)
                component.append(each)
                todo.extend(before[each])
        if len(component) > 1:
            found.update(component)
    return found


def _finish_order(following: Mapping[str, list[str]]) -> list[str]:
    """All nodes in the order in which a depth-first search leaves them."""
    order: list[str] = []
    seen: set[str] = set()
    for start in following:
        path = [] if start in seen else [(start, iter(following[start]))]
        seen.add(start)
        while path:
            id, rest = path[-1]
            unseen = next((each for each in rest if each not in seen), None)
            if unseen is None:
                order.append(id)
                path.pop()
            else:
                seen.add(unseen)
                path.append((unseen, iter(following[unseen])))
    return order


def check_links(view: GraphView) -> Iterator[Problem]:
    """Both ends of every link exist."""
    for link in view.graph.links:
        for end in (link.source_id, link.sink_id):
            if end not in view.nodes:
                message = f"the link {link.source_name} → {link.sink_name} names the node {end}, which does not exist"
                yield Problem("error", "link_to_nowhere", message, "Remove the link.", view.graph.id, end)


def check_start(view: GraphView) -> Iterator[Problem]:
    """A run needs somewhere to begin, and every node a way to be reached from there."""
    runnable = [id for id in view.nodes if view.kind(id) is not BlockKind.NOTE]
    if not view.starts:
        message = "every node waits for another one, so nothing can start" if runnable else "there is nothing to run"
        fix = "Add an input, or a node without incoming links." if runnable else "Add a block."
        yield Problem("error" if view.for_run else "warning", "no_start", message, fix, view.graph.id)
        return
    reached = reachable(view.starts, following(view))
    for id in runnable:
        if id not in reached:
            message = "the node can never run: it is in or behind a loop that nothing outside leads into"
            fix = "Link something that starts by itself into the loop."
            yield view.problem(view.nodes[id], "warning", "unreachable", message, fix)


def check_collect(view: GraphView) -> Iterator[Problem]:
    """A Collect waits until nothing can reach it any more; one that can reach itself would wait for ever."""
    waiting_for_themselves = on_cycles(following(view))
    for node in view.nodes_of(BlockKind.COLLECT):
        if node.id in waiting_for_themselves:
            message = "the Collect can reach itself (perhaps through another Collect), so it would wait for ever"
            fix = "Collect per group inside a sub-agent, or take the Collect out of the loop."
            yield view.problem(node, "error", "collect_cycle", message, fix)


CHECKS = (check_links, check_start, check_collect)
