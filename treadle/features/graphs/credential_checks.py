"""Do the credentials exist that the nodes of an agent name?"""

from collections.abc import Iterator, Set

from treadle.base.ids import BlockId
from treadle.features.graphs.credential_needs import is_credentials_pin
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.view import GraphView, Problem
from treadle.sdk.registry import Registry


def unknown_credentials(agent: AgentFile, registry: Registry, known: Set[str]) -> list[Problem]:
    """A warning for each credentials pin that names none of the ``known`` ids.

    Whether they are somebody else's or do not exist is not told apart. It forbids nothing: agents come from elsewhere
    with such names, and run with the workspace's own credentials.
    """
    views = [GraphView(graph, registry, agent) for graph in agent.graphs]
    return [problem for view in views for problem in _unknown(view, known)]


def _unknown(view: GraphView, known: Set[str]) -> Iterator[Problem]:
    for node in view.nodes.values():
        block = view.registry.get(BlockId(node.block_id))
        for pin in block.reader.pins.values() if block else ():
            chosen = node.input_default.get(pin.name)
            id = chosen.get("id") if is_credentials_pin(pin) and isinstance(chosen, dict) else None
            if id is not None and str(id) not in known:
                message = f"the credentials chosen on {pin.name} are not in this workspace"
                yield view.problem(node, "warning", "unknown_credentials", message, "Choose others.", pin.name)
