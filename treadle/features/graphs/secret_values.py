"""What happens to the secrets in an agent: encrypted when it is saved, hidden when it is shown, and put back."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from treadle.base.ids import WorkspaceId
from treadle.engine.ports import Seals
from treadle.engine.secrets import MASK, masked, sealed
from treadle.features.graphs.document import AgentFile, GraphPart, NodePart, Values
from treadle.features.graphs.secret_places import (
    LEFT_OUT,
    Place,
    SecretInputs,
    at,
    change_secrets,
    secret_inputs_of,
)
from treadle.kernel.plan import Plan, PlanNode
from treadle.sdk.registry import Registry


def secret_inputs_by_id(graphs: Iterable[GraphPart]) -> dict[str, set[str]]:
    """Which inputs of these graphs are secret, by the graph's id; all versions of a graph together."""
    found: dict[str, set[str]] = {}
    for graph in graphs:
        found.setdefault(graph.id, set()).update(secret_inputs_of(graph))
    return found


def seal_secrets(
    graph: GraphPart, registry: Registry, children: SecretInputs, seals: Seals, workspace: WorkspaceId
) -> None:
    """Encrypt every secret text of the graph, in the graph itself. What is encrypted already stays as it is."""
    change_secrets(graph, registry, children, lambda node, place, value: sealed(value, seals, workspace))


def with_sealed_constants(plan: Plan, changed: Iterable[tuple[GraphPart, GraphPart]]) -> Plan:
    """The plan with what has been encrypted in its version; ``changed`` are graphs as they were and as they are.

    A plan of another version is given back itself.
    """
    for before, after in changed:
        if (plan.graph_id, plan.graph_version) == (before.id, before.version):
            pairs = {old.id: (old, new) for old, new in zip(before.nodes, after.nodes, strict=True)}
            nodes = (_with_sealed(node, *pairs[node.id]) if node.id in pairs else node for node in plan.nodes)
            return replace(plan, nodes=tuple(nodes))
    return plan


def _with_sealed(node: PlanNode, before: NodePart, after: NodePart) -> PlanNode:
    fallback = _replaced(dict(node.policy.fallback), before.policy.fallback, after.policy.fallback)
    constants = _replaced(node.constants, before.input_default, after.input_default)
    return replace(node, constants=constants, policy=replace(node.policy, fallback=tuple(fallback.items())))


def _replaced(values: Values, before: Values, after: Values) -> Values:
    """What is as it was before is as it is after; the order stays."""
    return {
        name: after[name] if name in before and name in after and value == before[name] else value
        for name, value in values.items()
    }


def shown(agent: AgentFile, registry: Registry) -> AgentFile:
    """A copy for people who may edit the agent: each secret is ``***``, which ``put_back`` understands."""
    copy = agent.model_copy(deep=True)
    children = secret_inputs_by_id(copy.graphs)
    for graph in copy.graphs:
        change_secrets(graph, registry, children, lambda node, place, value: MASK)
        for node in graph.nodes:
            node.input_default = masked(node.input_default)
    return copy


def holds_masks(graph: GraphPart) -> bool:
    """Whether a secret may have to be put back."""
    return MASK in str([(node.input_default, node.metadata, node.policy.fallback) for node in graph.nodes])


def put_back(graph: GraphPart, earlier: GraphPart | None, registry: Registry, children: SecretInputs) -> None:
    """Replace each ``***`` at a secret place by what the same node of the earlier version has there, if anything."""
    known = {node.id: node for node in earlier.nodes} if earlier else {}

    def old(node: NodePart, place: Place, value: Any) -> Any:
        if value != MASK:
            return value
        return at(known[node.id], place) if node.id in known else LEFT_OUT

    change_secrets(graph, registry, children, old)


def without_masks(agent: AgentFile, registry: Registry) -> AgentFile:
    """A copy in which ``***`` stands for nothing: what a stranger's file hides is not to be found here."""
    copy = agent.model_copy(deep=True)
    children = secret_inputs_by_id(copy.graphs)
    for graph in copy.graphs:
        put_back(graph, None, registry, children)
    return copy


def lost_secrets(
    before: GraphPart, after: GraphPart, registry: Registry, children: SecretInputs
) -> list[tuple[NodePart, str]]:
    """The nodes that had a secret and have none at that place any more, and the constants in which it was."""
    nodes = {node.id: node for node in after.nodes}
    lost: dict[tuple[str, str], tuple[NodePart, str]] = {}

    def note(node: NodePart, place: Place, value: Any) -> Any:
        now = nodes.get(node.id)
        if now is not None and at(now, place) is LEFT_OUT:
            name = str(place[1]) if len(place) > 1 else str(place[0])
            lost[node.id, name] = (now, name)
        return value

    change_secrets(before.model_copy(deep=True), registry, children, note)
    return list(lost.values())
