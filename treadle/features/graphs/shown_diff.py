"""The difference of two versions of an agent for people: without secrets."""

from dataclasses import replace

from treadle.features.graphs.diff import FieldChange, Fields, GraphDiff, Placed, diff, part_fields, same
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.secret_values import shown
from treadle.sdk.registry import Registry


def shown_diff(before: AgentFile, after: AgentFile, registry: Registry) -> GraphDiff:
    """The difference of two main graphs as it is shown: that a secret has changed, and not from what to what."""
    whole = diff(before, after)
    first, second = shown(before, registry).nodes, shown(after, registry).nodes
    nodes = replace(
        whole.nodes,
        added=tuple(Placed(each.position, second[each.position]) for each in whole.nodes.added),
        removed=tuple(Placed(each.position, first[each.position]) for each in whole.nodes.removed),
        changed=tuple(
            replace(
                each,
                before=(one := first[each.position_before]),
                after=(other := second[each.position_after]),
                fields=tuple(_shown(field, part_fields(one), part_fields(other)) for field in each.fields),
            )
            for each in whole.nodes.changed
        ),
    )
    return replace(whole, nodes=nodes)


def _shown(change: FieldChange, before: Fields, after: Fields) -> FieldChange:
    told = replace(change, before=before.get(change.path), after=after.get(change.path))
    hides = not (same(told.before, change.before) and same(told.after, change.after))
    return replace(told, hidden=True) if hides else change
