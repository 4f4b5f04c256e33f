"""Shapes: which part of a provider's reply becomes which output. Data for the usual cases, a function for the rest.

A shape is a path (``"user.login"``, ``"items.0.id"``, ``""`` for all of it), a mapping of names to shapes, ``items``
(a list, each element shaped), ``const`` or a function of the reply.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from treadle.sdk.errors import BlockError

_CHANGED = "Look whether the provider has changed its API, and update Treadle."


@dataclass(frozen=True, slots=True)
class Items:
    """The list at ``path``, each element in ``shape``. ``each`` sends the elements one by one on the pin."""

    path: str
    shape: "Shape"
    each: bool = False


@dataclass(frozen=True, slots=True)
class Const:
    """The same value whatever the reply says."""

    value: Any


@dataclass(frozen=True, slots=True)
class Or:
    """What is at ``path``, or ``default`` when the reply has nothing there."""

    path: str
    default: Any


Shape: TypeAlias = str | Mapping[str, "Shape"] | Items | Const | Or | Callable[[Any], Any]


def items(path: str, shape: Shape) -> Items:
    """The whole list, on one output."""
    return Items(path, shape)


def each(path: str, shape: Shape) -> Items:
    """Each element of the list, as an output of its own."""
    return Items(path, shape, each=True)


def at(path: str, value: Any) -> Any:
    """The value at a dotted path; None when any step of it is missing."""
    for step in filter(None, path.split(".")):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def shaped(shape: Shape, reply: Any) -> Any:
    """The part of ``reply`` that ``shape`` describes.

    Raises:
        BlockError: the reply has another form than the shape expects.
    """
    if isinstance(shape, str):
        return at(shape, reply)
    if isinstance(shape, Mapping):
        return {name: shaped(part, reply) for name, part in shape.items()}
    if isinstance(shape, Const):
        return shape.value
    if isinstance(shape, Or):
        found = at(shape.path, reply)
        return shape.default if found is None else found
    if isinstance(shape, Items):
        return [shaped(shape.shape, element) for element in _list_at(shape.path, reply)]
    try:
        return shape(reply)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise BlockError(f"The provider's reply has not the expected form: {error!r}", fix=_CHANGED) from error


def emissions(returns: Mapping[str, Shape], reply: Any) -> Iterator[tuple[str, Any]]:
    """The outputs of a reply, in the order of ``returns``. An output whose part is missing is not sent."""
    for pin, shape in returns.items():
        value = shaped(shape, reply)
        if isinstance(shape, Items) and shape.each:
            yield from ((pin, element) for element in value)
        elif value is not None:
            yield pin, value


def _list_at(path: str, reply: Any) -> list[Any]:
    found = at(path, reply)
    if not isinstance(found, list):
        place = f"at {path!r} of" if path else "in"
        raise BlockError(f"There is no list {place} the provider's reply.", fix=_CHANGED)
    return found
