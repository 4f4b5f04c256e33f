"""The difference of two versions of a graph, as data: what was added, removed, and changed field by field.

Pure. ``apply(diff(a, b), a) == b`` and ``apply(inverse(diff(a, b)), b) == a`` hold for any two versions.
"""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from pydantic import JsonValue

from treadle.base.errors import Conflict
from treadle.features.graphs.document import GraphPart, LinkPart, NodePart

P = TypeVar("P", NodePart, LinkPart)
Path = tuple[str, ...]
"""Where in a graph, node or link a value stands: ``("input_default", "prompt")``."""
Fields = dict[Path, JsonValue]

_OPENED = frozenset(("input_default", "metadata", "policy", "retry", "fallback"))
"""Fields that are compared key by key; the values in them are compared whole."""
_IDENTITY = frozenset(("id", "version", "nodes", "links", "sub_graphs"))
"""What a graph is known by, or consists of."""
_ENDS = ("source_id", "source_name", "sink_id", "sink_name")


class DiffDoesNotFit(Conflict):
    """A difference is applied to another version than the one that it was made for."""

    code = "diff_does_not_fit"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that is not the same in both versions."""

    path: Path
    kind: Literal["added", "removed", "changed"]
    before: JsonValue = None
    after: JsonValue = None
    hidden: bool = False
    """The values are secret and not shown: such a change cannot be applied."""


@dataclass(frozen=True, slots=True)
class Placed(Generic[P]):
    """A part that only one version has, and its place among the parts there."""

    position: int
    part: P


@dataclass(frozen=True, slots=True)
class PartChange(Generic[P]):
    """A part that both versions have, and what has changed in it."""

    position_before: int
    position_after: int
    before: P
    after: P
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class PartsDiff(Generic[P]):
    """The difference of two lists of nodes, or of links."""

    added: tuple[Placed[P], ...] = ()
    removed: tuple[Placed[P], ...] = ()
    changed: tuple[PartChange[P], ...] = ()
    order: tuple[int, ...] | None = None
    """When the parts that both have are in another order: for each place in the later one, the place in the earlier."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.order)


@dataclass(frozen=True, slots=True)
class GraphDiff:
    """The difference of two versions: name, description and the like; nodes by id; links by their ends."""

    fields: tuple[FieldChange, ...] = ()
    nodes: PartsDiff[NodePart] = PartsDiff()
    links: PartsDiff[LinkPart] = PartsDiff()

    def __bool__(self) -> bool:
        """Whether there is a difference at all."""
        return bool(self.fields or self.nodes or self.links)


def diff(before: GraphPart, after: GraphPart) -> GraphDiff:
    """What turns ``before`` into ``after``; ids and version numbers of the two are not looked at."""
    return GraphDiff(
        fields=_changes(_graph_fields(before), _graph_fields(after)),
        nodes=_parts_diff(before.nodes, after.nodes, lambda node: node.id),
        links=_parts_diff(before.links, after.links, lambda link: link.ends),
    )


def inverse(change: GraphDiff) -> GraphDiff:
    """What turns the later version into the earlier one."""
    return GraphDiff(_swapped(change.fields), _inverse_parts(change.nodes), _inverse_parts(change.links))


def apply(change: GraphDiff, graph: GraphPart) -> GraphPart:
    """The graph with the change made; it keeps its id and version number.

    Raises:
        DiffDoesNotFit: the change was made for another version, or has hidden values.
    """
    fields = _changed(_graph_fields(graph), change.fields)
    nodes = _apply_parts(change.nodes, graph.nodes)
    links = _apply_parts(change.links, graph.links)
    return graph.model_copy(update={**_nested(fields), "nodes": nodes, "links": links})


# ---- lists of parts -----------------------------------------------------------------------------------------------


def _parts_diff(before: Sequence[P], after: Sequence[P], key: Callable[[P], Hashable]) -> PartsDiff[P]:
    first, second = _keyed(before, key), _keyed(after, key)
    kept = [each for each in second if each in first]
    places = {each: place for place, each in enumerate(each for each in first if each in second)}
    order = tuple(places[each] for each in kept)
    return PartsDiff(
        added=tuple(Placed(at, after[at]) for each, at in second.items() if each not in first),
        removed=tuple(Placed(at, before[at]) for each, at in first.items() if each not in second),
        changed=tuple(_part_changes(before, after, ((first[each], second[each]) for each in kept))),
        order=None if order == tuple(range(len(order))) else order,
    )


def _keyed(parts: Iterable[P], key: Callable[[P], Hashable]) -> dict[tuple[Hashable, int], int]:
    """Position by key; the second part with one key is another than the first."""
    seen: Counter[Hashable] = Counter()
    found: dict[tuple[Hashable, int], int] = {}
    for position, part in enumerate(parts):
        found[key(part), seen[key(part)]] = position
        seen[key(part)] += 1
    return found


def _part_changes(before: Sequence[P], after: Sequence[P], pairs: Iterable[tuple[int, int]]) -> Iterator[PartChange[P]]:
    for first, second in pairs:
        one, other = before[first], after[second]
        if fields := _changes(part_fields(one), part_fields(other)):
            yield PartChange(first, second, one, other, fields)


def _inverse_parts(change: PartsDiff[P]) -> PartsDiff[P]:
    order = None
    if change.order is not None:
        order = tuple(sorted(range(len(change.order)), key=change.order.__getitem__))
    changed = (
        PartChange(each.position_after, each.position_before, each.after, each.before, _swapped(each.fields))
        for each in change.changed
    )
    return PartsDiff(change.removed, change.added, tuple(changed), order)


def _apply_parts(change: PartsDiff[P], parts: Sequence[P]) -> list[P]:
    known: dict[int, P] = dict(enumerate(parts))
    for removed in change.removed:
        if not _same_part(known.pop(removed.position, None), removed.part):
            raise _misfit(removed.part)
    for changed in change.changed:
        known[changed.position_before] = _apply_to_part(changed, known.get(changed.position_before))
    kept = list(known.values())
    if change.order is not None:
        if len(change.order) != len(kept):
            raise DiffDoesNotFit("The graph does not have the nodes and links whose order is changed.")
        kept = [kept[place] for place in change.order]
    for added in sorted(change.added, key=lambda each: each.position):
        kept.insert(added.position, added.part)
    return kept


def _apply_to_part(change: PartChange[P], part: P | None) -> P:
    if part is None or _name(part) != _name(change.before):
        raise _misfit(change.before)
    fields = _nested(_changed(part_fields(part), change.fields))
    identity = {name: getattr(part, name) for name in (_ENDS if isinstance(part, LinkPart) else ("id",))}
    return type(part).model_validate({**fields, **identity})


def _same_part(one: NodePart | LinkPart | None, other: NodePart | LinkPart) -> bool:
    return one is not None and _name(one) == _name(other) and not _changes(part_fields(one), part_fields(other))


def _name(part: NodePart | LinkPart) -> str:
    """A part in messages: people's name of it, or its ends."""
    return f"the node {part.id}" if isinstance(part, NodePart) else "the link " + " ".join(part.ends)


def _misfit(part: NodePart | LinkPart) -> DiffDoesNotFit:
    return DiffDoesNotFit(f"The graph does not have {_name(part)} as it was.", fix="Compare with this version anew.")


# ---- fields -------------------------------------------------------------------------------------------------------


def _graph_fields(graph: GraphPart) -> Fields:
    return _flat(graph.model_dump(mode="json", exclude=set(_IDENTITY)))


def part_fields(part: NodePart | LinkPart) -> Fields:
    """All that can change in a node or link, by path."""
    identity = {"id"} if isinstance(part, NodePart) else set(_ENDS)
    return _flat(part.model_dump(mode="json", exclude=identity))


def _flat(values: Mapping[str, Any], above: Path = ()) -> Fields:
    fields: Fields = {}
    for name, value in values.items():
        path = (*above, name)
        # Only the fields of our own models are opened: a pin may be called `retry` too, and its value is one value.
        opened = name in _OPENED and above in ((), ("policy",)) and isinstance(value, dict)
        fields.update(_flat(value, path) if opened else {path: value})
    return fields


def _nested(fields: Fields) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path, value in fields.items():
        place = values
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = value
    return values


def _changes(before: Fields, after: Fields) -> tuple[FieldChange, ...]:
    found = []
    for path in dict.fromkeys((*before, *after)):
        if path not in before:
            found.append(FieldChange(path, "added", after=after[path]))
        elif path not in after:
            found.append(FieldChange(path, "removed", before=before[path]))
        elif not same(before[path], after[path]):
            found.append(FieldChange(path, "changed", before[path], after[path]))
    return tuple(found)


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are the same JSON: to Python ``1``, ``1.0`` and ``True`` are equal."""
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


_SWAPPED: Mapping[str, Literal["added", "removed", "changed"]] = {
    "added": "removed",
    "removed": "added",
    "changed": "changed",
}


def _swapped(changes: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
    return tuple(replace(each, kind=_SWAPPED[each.kind], before=each.after, after=each.before) for each in changes)


def _changed(fields: Fields, changes: Iterable[FieldChange]) -> Fields:
    result = dict(fields)
    for each in changes:
        here = result.get(each.path)
        if each.hidden or (each.path in result) == (each.kind == "added") or not same(here, each.before):
            place = " ".join(each.path)
            raise DiffDoesNotFit(f"{place} is not what it was.", fix="Compare with this version anew.")
        if each.kind == "removed":
            del result[each.path]
        else:
            result[each.path] = each.after
    return result
