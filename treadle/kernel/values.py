"""Coercion: turning a value that arrived on a pin into the pin's declared type, or saying why that cannot be.

A converter is compiled once per annotation. Values that already have the type pass through unchanged. Nothing is made
up: what does not mean a number, a yes or a no is refused. ``docs/decisions/compatibility.md`` lists the decisions.
"""

import json
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from operator import is_ as _is
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

import pydantic_core
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from treadle.base.errors import BadInput

Coerce = Callable[[Any], Any]

SHOWN = 60
"""Longest form of a value in a message, in characters."""

MAX_DEPTH = 200
"""How deep lists and objects may be nested in a value that is kept."""

_TRUE = frozenset({"true", "1", "yes", "on", "y", "t"})
_FALSE = frozenset({"false", "0", "no", "off", "n", "f", "", "null", "none"})
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class CoercionError(BadInput):
    """A value cannot be turned into the expected type. ``shown`` is the value in short."""

    code = "wrong_type"

    def __init__(self, expected: str, value: Any, detail: str = "") -> None:
        self.expected = expected
        self.shown = shorten(value)
        super().__init__(f"expected {expected}, got {self.shown}{f' ({detail})' if detail else ''}")


def shorten(value: Any) -> str:
    """A value as JSON-like text of at most ``SHOWN`` characters, without building the whole text of a large one."""
    if isinstance(value, str):
        text = json.dumps(value[:SHOWN], ensure_ascii=False) if len(value) <= SHOWN else value
    elif isinstance(value, list | tuple | set | frozenset | dict) and len(value) > 8:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} elements"
    else:
        text = _json_text(value) if not isinstance(value, int) or abs(value) < 10**SHOWN else "a very large number"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One type: its name for people, whether a value has it, and how to give it to others."""

    name: str
    fits: Callable[[Any], bool]
    convert: Coerce
    """Raises CoercionError."""
    native: tuple[type[Any], ...] = ()
    """Python types that hold this kind: in a union, such a member is tried before the others."""
    container: type[Any] | None = None
    """list or dict, for plain lists and objects: in a union, JSON text of one is read before it is converted."""


def coercer(annotation: Any) -> Coerce:
    """The converter for a type annotation: gives the value unchanged when it has the type, else converts it.

    The converter raises ``CoercionError`` when the value cannot be converted.
    """
    kind = _kind(annotation)
    fits, convert = kind.fits, kind.convert

    def coerce(value: Any) -> Any:
        return value if fits(value) else convert(value)

    return coerce


def expected(annotation: Any) -> str:
    """What people read for a type annotation: ``a list of whole numbers or nothing``."""
    return _kind(annotation).name


def clean_text(value: Any) -> Any:
    """The value without what a database cannot hold in text: control characters but tab, line feed, carriage return.

    Keys are cleaned too; lone surrogates become U+FFFD; tuples become lists. What is clean already is given back
    itself, not copied.

    Raises:
        CoercionError: lists and objects are nested over ``MAX_DEPTH`` levels.
    """
    return _cleaned(value, 0)


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        if value.isascii() and value.isprintable():
            return value
        return _SURROGATE.sub("\ufffd", _UNSTORABLE.sub("", value))
    if not isinstance(value, dict | list | tuple):
        return value
    if depth >= MAX_DEPTH:
        raise CoercionError(f"a value nested at most {MAX_DEPTH} levels deep", value)
    if isinstance(value, dict):
        fields = {_cleaned(key, depth + 1): _cleaned(each, depth + 1) for key, each in value.items()}
        same = all(map(_is, value, fields)) and all(map(_is, value.values(), fields.values()))
        return value if same else fields
    items = [_cleaned(each, depth + 1) for each in value]
    return value if isinstance(value, list) and all(map(_is, value, items)) else items


# --- which kind an annotation is ---


def _kind(annotation: Any) -> _Kind:
    annotation = _bare(annotation)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Union or origin is types.UnionType:
        return _union(tuple(_kind(each) for each in arguments))
    if origin is Literal:
        return _literal(arguments)
    if origin is dict or origin is Mapping:
        return _dict(*(_kind(each) for each in (arguments or (Any, Any))))
    if origin in (list, Sequence, Iterable):
        return _list(_kind(arguments[0] if arguments else Any))
    if origin in (set, frozenset):
        return _set(origin, _kind(arguments[0] if arguments else Any))
    if origin is tuple:
        return _tuple(arguments)
    if origin in _SIMPLE:
        return _SIMPLE[origin]
    if isinstance(origin, type) and issubclass(origin, Enum):
        return _enum(origin)
    return _structured(annotation)


def _bare(annotation: Any) -> Any:
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            return annotation


# --- single values ---


def _is_any(value: Any) -> bool:
    return True


def _is_none(value: Any) -> bool:
    return value is None


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_float(value: Any) -> bool:
    return type(value) is float


def _is_bool(value: Any) -> bool:
    return value is True or value is False


def _is_str(value: Any) -> bool:
    return type(value) is str


def _refuse_none(value: Any) -> Any:
    raise CoercionError("nothing", value)


def _same(value: Any) -> Any:
    return value


def _to_int(value: Any) -> int:
    try:
        if isinstance(value, str):
            return _int_of_text(value)
        if isinstance(value, float):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise CoercionError("a whole number", value)


def _int_of_text(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return int(float(text))


def _to_float(value: Any) -> float:
    try:
        if isinstance(value, str | int):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise CoercionError("a number", value)


def _to_bool(value: Any) -> bool:
    if not isinstance(value, str):
        return bool(value)
    word = value.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise CoercionError("true or false", value)


def _json_text(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        return f"a value of type {type(value).__name__}"


def _to_str(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, set | frozenset):
        value = list(value)
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise CoercionError("a text", value) from error


_SIMPLE: dict[Any, _Kind] = {
    Any: _Kind("any value", _is_any, _same),
    object: _Kind("any value", _is_any, _same),
    type(None): _Kind("nothing", _is_none, _refuse_none, (type(None),)),
    None: _Kind("nothing", _is_none, _refuse_none, (type(None),)),
    int: _Kind("a whole number", _is_int, _to_int, (int,)),
    float: _Kind("a number", _is_float, _to_float, (float,)),
    bool: _Kind("true or false", _is_bool, _to_bool, (bool,)),
    str: _Kind("a text", _is_str, _to_str, (str,)),
}


# --- closed choices ---


def _literal(options: tuple[Any, ...]) -> _Kind:
    types_and_values = frozenset((type(option), option) for option in options)
    name = "one of " + ", ".join(shorten(option) for option in options)

    def fits(value: Any) -> bool:
        try:
            return (type(value), value) in types_and_values
        except TypeError:
            return False

    def convert(value: Any) -> Any:
        raise CoercionError(name, value)

    return _Kind(name, fits, convert, tuple({type(option) for option in options}))


def _enum(choices: type[Enum]) -> _Kind:
    name = "one of " + ", ".join(shorten(each.value) for each in choices)
    by_value = {(type(each.value), each.value): each for each in choices}

    def fits(value: Any) -> bool:
        return type(value) is choices

    def convert(value: Any) -> Enum:
        try:
            return by_value[type(value), value]
        except (KeyError, TypeError):
            raise CoercionError(name, value) from None

    return _Kind(name, fits, convert, tuple({type(each.value) for each in choices}))


# --- containers ---


def _elements(kind: _Kind, values: Iterable[Any]) -> list[Any]:
    """Each value as ``kind``; the message names the position of the one that cannot be converted."""
    fits, convert, result = kind.fits, kind.convert, []
    for position, value in enumerate(values):
        try:
            result.append(value if fits(value) else convert(value))
        except CoercionError as error:
            raise CoercionError(kind.name, value, f"element {position}") from error
    return result


def _plain_list(value: Any) -> list[Any]:
    """The list that a value of any type stands for: an object gives [key, value] pairs, JSON text its elements."""
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict):
        return [list(each) for each in value.items()]
    if isinstance(value, str):
        read = _json_container(value)
        return read if isinstance(read, list) else [value]
    return [value]


def _json_container(text: str) -> Any:
    """The object or list that a text holds as JSON; None when it holds none."""
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _list(element: _Kind) -> _Kind:
    if element.fits is _is_any:
        return _Kind("a list", lambda value: type(value) is list, _plain_list, (list,), list)
    fits_element = element.fits

    def fits(value: Any) -> bool:
        return type(value) is list and all(map(fits_element, value))

    def convert(value: Any) -> list[Any]:
        return _elements(element, _plain_list(value))

    return _Kind(f"a list with {element.name} in each place", fits, convert, (list,), list)


def _set(container: Any, element: _Kind) -> _Kind:
    def fits(value: Any) -> bool:
        return type(value) is container and all(map(element.fits, value))

    def convert(value: Any) -> Any:
        try:
            return container(_elements(element, _plain_list(value)))
        except TypeError as error:
            raise CoercionError("a set of plain values", value) from error

    return _Kind(f"a set with {element.name} in each place", fits, convert, (container,))


def _tuple(arguments: tuple[Any, ...]) -> _Kind:
    variadic = not arguments or arguments[-1] is Ellipsis
    kinds = tuple(_kind(each) for each in (arguments or (Any,)) if each is not Ellipsis)

    def fits(value: Any) -> bool:
        if type(value) is not tuple or (not variadic and len(value) != len(kinds)):
            return False
        return all(kind.fits(each) for kind, each in _paired(value))

    def _paired(values: Sequence[Any]) -> Iterable[tuple[_Kind, Any]]:
        return ((kinds[0], each) for each in values) if variadic else zip(kinds, values, strict=True)

    def convert(value: Any) -> tuple[Any, ...]:
        items = list(value) if isinstance(value, str) and _json_container(value) is None else _plain_list(value)
        if not variadic and len(items) != len(kinds):
            raise CoercionError(f"a list of {len(kinds)} elements", value)
        return tuple(_elements(kind, [each])[0] for kind, each in _paired(items))

    return _Kind("a list", fits, convert, (tuple, list))


def _plain_dict(value: Any) -> dict[Any, Any]:
    """The object that a value of any type stands for: list positions become text keys, other values ``value``."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list | tuple):
        return {str(position): each for position, each in enumerate(value)}
    if not isinstance(value, str):
        return {"value": value}
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return {"value": value}
    return read if isinstance(read, dict) else {"value": read}


def _dict(key: _Kind, element: _Kind) -> _Kind:
    any_key, any_element = key.fits is _is_any, element.fits is _is_any
    if any_key and any_element:
        return _Kind("an object", lambda value: type(value) is dict, _plain_dict, (dict,), dict)

    def fits(value: Any) -> bool:
        if type(value) is not dict or not (any_key or all(map(key.fits, value))):
            return False
        return any_element or all(map(element.fits, value.values()))

    def convert(value: Any) -> dict[Any, Any]:
        result = {}
        for name, each in _plain_dict(value).items():
            try:
                result[key.convert(name) if not key.fits(name) else name] = _elements(element, [each])[0]
            except CoercionError as error:
                raise CoercionError(error.expected, each, f"key {shorten(name)}") from error
        return result

    return _Kind(f"an object with {element.name} under each key", fits, convert, (dict,), dict)


# --- unions ---


def _union(members: tuple[_Kind, ...]) -> _Kind:
    """The member that the value already has wins; then one of its own Python type; then the first that takes it.

    JSON text of a list or object has that type where a member is a plain list or object, and no member is text.
    """
    name = " or ".join(each.name for each in members)
    values = tuple(each for each in members if each.fits is not _is_none)
    exact = tuple(each.fits for each in members)
    takes_text = any(each.fits is _is_str for each in members)
    containers = () if takes_text else tuple(each.container for each in members if each.container)

    def fits(value: Any) -> bool:
        return any(check(value) for check in exact)

    def convert(value: Any) -> Any:
        if value is None or (isinstance(value, bool) and values[0].fits is _is_int):
            raise CoercionError(name, value)
        if isinstance(value, str) and containers:
            read = _json_container(value)
            value = read if isinstance(read, containers) else value
        own = [each for each in values if type(value) in each.native]
        problems = []
        for member in [*own, *(each for each in values if each not in own)]:
            try:
                return value if member.fits(value) else member.convert(value)
            except CoercionError as error:
                problems.append(error)
        if len(own) == 1 or len(problems) == 1:
            raise problems[0]
        raise CoercionError(name, value)

    native = tuple({each for member in members for each in member.native})
    if len(values) == 1 and len(members) == 2:
        return _Kind(name, _nullable(values[0].fits), convert, native)
    return _Kind(name, fits, convert, native)


def _nullable(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return value is None or fits(value)

    return check


# --- everything with a shape of its own ---


@lru_cache(maxsize=512)
def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError):
        pass
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None


def _structured(annotation: Any) -> _Kind:
    """Models, dates and the like: the value is checked in its JSON form, strictly, so that text is no number there."""
    name = f"a value of type {getattr(annotation, '__name__', str(annotation))}"
    adapter = _adapter(annotation)

    def fits(value: Any) -> bool:
        return isinstance(annotation, type) and type(value) is annotation

    def convert(value: Any) -> Any:
        if adapter is None:
            raise CoercionError(name, value)
        try:
            return adapter.validate_json(pydantic_core.to_json(value), strict=True)
        except (ValidationError, pydantic_core.PydanticSerializationError, ValueError) as error:
            raise CoercionError(name, value, _first_problem(error)) from error

    return _Kind(name, fits, convert, (dict,) if isinstance(annotation, type) else ())


def _first_problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return ""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
