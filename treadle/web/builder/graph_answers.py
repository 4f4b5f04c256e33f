"""From graphs, their versions and differences to what goes over HTTP."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from treadle.features.credentials.offers import Offers
from treadle.features.graphs.credential_checks import unknown_credentials
from treadle.features.graphs.credential_needs import credentials_input_schema
from treadle.features.graphs.diff import FieldChange, GraphDiff, PartsDiff
from treadle.features.graphs.document import AgentFile, LinkPart, NodePart
from treadle.features.graphs.schemas import input_schema, output_schema
from treadle.features.graphs.secret_values import shown
from treadle.features.graphs.traits import traits
from treadle.features.graphs.validation import has_errors, validate
from treadle.features.graphs.view import Problem
from treadle.sdk.registry import Registry
from treadle.web.builder.bodies import GraphDetail, GraphSummary, Verdict, VersionSummary
from treadle.web.builder.diff_bodies import (
    ChangedLink,
    ChangedNode,
    FieldChangeBody,
    GraphDiffBody,
    LinksDiff,
    NodesDiff,
    PlacedLink,
    PlacedNode,
)
from treadle.web.builder.needs import need_bodies
from treadle.web.problems import problem_body

if TYPE_CHECKING:
    from treadle.features.graphs.models import GraphHead, GraphVersion


def graph_summary(head: "GraphHead") -> GraphSummary:
    """A graph in a list."""
    return GraphSummary(**{name: getattr(head, name) for name in GraphSummary.model_fields})


def version_summary(head: "GraphHead", row: "GraphVersion") -> VersionSummary:
    """A version in a list."""
    return VersionSummary(
        **{name: getattr(row, name) for name in ("version", "name", "note", "created_by", "created_at")},
        is_active=row.version == head.active_version,
        nodes=len(row.document["nodes"]),
        links=len(row.document["links"]),
    )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an agent is looked at beside: the blocks of the install, and the credentials of the workspace."""

    registry: Registry
    offers: Offers

    def problems(self, agent: AgentFile) -> list[Problem]:
        """What stands in the way of a run, and warnings."""
        unknown = unknown_credentials(agent, self.registry, {each.id for each in self.offers.every})
        return [*validate(agent, self.registry, for_run=True, complete=True), *unknown]


def graph_detail(around: Surroundings, head: "GraphHead", row: "GraphVersion", agent: AgentFile) -> GraphDetail:
    """One version; ``agent`` is its document with the sub-agents that are there."""
    problems = around.problems(agent)
    same = ("id", "version", "name", "note", "created_by", "created_at")
    return GraphDetail(
        **{name: getattr(row, name) for name in same},
        description=agent.description,
        is_active=row.version == head.active_version,
        newest_version=head.newest_version,
        active_version=head.active_version,
        document=shown(agent, around.registry).model_dump(mode="json"),
        **graph_forms(around, agent, problems),
    )


def verdict(around: Surroundings, agent: AgentFile) -> Verdict:
    """What an agent that is not saved yet is worth; it holds the sub-agents that there are."""
    problems = around.problems(agent)
    return Verdict(
        can_be_saved=not has_errors(validate(agent, around.registry, for_run=False)),
        can_run=not has_errors(problems),
        node_errors=_node_errors(problems),
        notes=list(agent.notes),
        **graph_forms(around, agent, problems),
    )


def graph_forms(around: Surroundings, agent: AgentFile, problems: list[Problem]) -> dict[str, Any]:
    """The fields of ``GraphForms``."""
    registry = around.registry
    return {
        "input_schema": input_schema(agent, registry),
        "output_schema": output_schema(agent, registry),
        "credentials_input_schema": credentials_input_schema(agent, registry),
        "credentials": need_bodies(agent, registry, around.offers),
        "problems": [problem_body(each) for each in problems],
        **asdict(traits(agent, registry)),
    }


def _node_errors(problems: Iterable[Problem]) -> dict[str, dict[str, str]]:
    errors: dict[str, dict[str, str]] = {}
    for each in problems:
        if each.severity == "error" and each.node:
            errors.setdefault(each.node, {}).setdefault(each.pin, each.message)
    return errors


def diff_body(graph: str, before: int, after: int, change: GraphDiff) -> GraphDiffBody:
    """A difference."""
    return GraphDiffBody(
        graph_id=graph,
        from_version=before,
        to_version=after,
        identical=not change,
        fields=_fields(change.fields),
        nodes=_nodes(change.nodes),
        links=_links(change.links),
    )


def _nodes(change: PartsDiff[NodePart]) -> NodesDiff:
    def placed(node: NodePart, position: int) -> PlacedNode:
        return PlacedNode(position=position, node=node.model_dump(mode="json"))

    return NodesDiff(
        added=[placed(each.part, each.position) for each in change.added],
        removed=[placed(each.part, each.position) for each in change.removed],
        changed=[
            ChangedNode(
                id=each.after.id,
                name=each.after.custom_name,
                position_before=each.position_before,
                position_after=each.position_after,
                fields=_fields(each.fields),
            )
            for each in change.changed
        ],
        order=None if change.order is None else list(change.order),
    )


def _links(change: PartsDiff[LinkPart]) -> LinksDiff:
    def placed(link: LinkPart, position: int) -> PlacedLink:
        return PlacedLink(position=position, link=link.model_dump(mode="json"))

    return LinksDiff(
        added=[placed(each.part, each.position) for each in change.added],
        removed=[placed(each.part, each.position) for each in change.removed],
        changed=[
            ChangedLink(
                **{end: getattr(each.after, end) for end in ("source_id", "source_name", "sink_id", "sink_name")},
                position_before=each.position_before,
                position_after=each.position_after,
                fields=_fields(each.fields),
            )
            for each in change.changed
        ],
        order=None if change.order is None else list(change.order),
    )


def _fields(changes: Iterable[FieldChange]) -> list[FieldChangeBody]:
    return [
        FieldChangeBody(path=list(each.path), kind=each.kind, before=each.before, after=each.after, hidden=each.hidden)
        for each in changes
    ]
