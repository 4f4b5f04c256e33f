"""The difference of two versions of an agent as it goes over HTTP."""

from typing import Literal

from treadle.web.bodies import Answer, Json, JsonObject


class FieldChangeBody(Answer):
    """One value that is not the same in both versions."""

    path: list[str]
    """Where it stands: ``["input_default", "prompt"]``."""
    kind: Literal["added", "removed", "changed"]
    before: Json
    """Null when it was added."""
    after: Json
    """Null when it was removed."""
    hidden: bool
    """It is secret, or holds something secret, which is left out here."""


class PlacedNode(Answer):
    """A node that only one of the versions has."""

    position: int
    """Its place among the nodes there, from 0."""
    node: JsonObject


class ChangedNode(Answer):
    """A node that both versions have, changed."""

    id: str
    name: str
    """What its author calls it; empty without a name of its own."""
    position_before: int
    position_after: int
    fields: list[FieldChangeBody]


class NodesDiff(Answer):
    """Nodes that were added, removed and changed; nodes are the same by their id."""

    added: list[PlacedNode]
    removed: list[PlacedNode]
    changed: list[ChangedNode]
    order: list[int] | None
    """When those that both have changed places: for each place in the later one, the place in the earlier."""


class PlacedLink(Answer):
    """A link that only one of the versions has."""

    position: int
    link: JsonObject


class ChangedLink(Answer):
    """A link that both versions have, changed: its id, say."""

    source_id: str
    source_name: str
    sink_id: str
    sink_name: str
    position_before: int
    position_after: int
    fields: list[FieldChangeBody]


class LinksDiff(Answer):
    """Links that were added, removed and changed; links are the same by their ends."""

    added: list[PlacedLink]
    removed: list[PlacedLink]
    changed: list[ChangedLink]
    order: list[int] | None


class GraphDiffBody(Answer):
    """What turns one version of an agent into another."""

    graph_id: str
    from_version: int
    to_version: int
    identical: bool
    fields: list[FieldChangeBody]
    """Name, description, instructions and the like."""
    nodes: NodesDiff
    links: LinksDiff
