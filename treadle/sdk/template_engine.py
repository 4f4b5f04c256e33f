"""Jinja templates of users: a sandboxed dialect, and the question whether one is harmless enough to run in place.

Templates come from people and agent files, so nothing in them is trusted: they see only the values that they are given,
no globals, and no attribute path to the host language. A loop or an operator can still burn time and memory, which is
why ``treadle.sdk.templates`` renders all but the plainest templates in a process that can be killed.
"""

from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.nodes import Node
    from jinja2.sandbox import SandboxedEnvironment

OUTPUT_CAP = 1_000_000
"""Longest text, in characters, that a template may produce."""

INLINE_TEMPLATE_CAP = 20_000
"""Longer templates, in characters, are never rendered in place."""

INLINE_BRACES_CAP = 400
"""Templates with more opening braces than this take too long to compile in place."""

INLINE_OUTPUT_CAP = 200_000
"""A template is rendered in place only when its output cannot pass this estimate, in characters."""

_REMOVED_FILTERS = ("pprint", "tojson", "urlize", "xmlattr")
_PLAIN_FILTERS = frozenset(
    {
        *("abs", "capitalize", "count", "d", "default", "e", "escape", "first", "float", "int", "join", "last"),
        *("length", "lower", "safe", "string", "title", "trim", "upper"),
    }
)
_PLAIN_NODES = frozenset(
    {
        *("Template", "Output", "TemplateData", "Name", "Getattr", "Getitem", "Const", "Filter", "If", "CondExpr"),
        *("Compare", "Operand", "And", "Or", "Not"),
    }
)


class TemplateFault(Exception):
    """The template is wrong, or does not fit its values; the message is for people."""


def render_now(template: str, values: Mapping[str, Any], *, escape_html: bool = False) -> str:
    """Render in this process, without any limit of time or memory.

    Raises:
        TemplateFault: the template cannot be parsed, fails on these values, or its text passes ``OUTPUT_CAP``.
    """
    from jinja2.exceptions import TemplateError, TemplateNotFound  # noqa: PLC0415

    try:
        return _joined(_compiled(template, escape_html), values)
    except TemplateNotFound as error:
        raise TemplateFault("a template cannot include, import or extend another one") from error
    except RecursionError as error:
        raise TemplateFault("it is nested too deeply") from error
    except MemoryError as error:
        raise TemplateFault("it needs too much memory") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise TemplateFault(str(error) or type(error).__name__) from error


def is_plain(template: str, values: Mapping[str, Any]) -> bool:
    """Whether rendering is sure to be short: no loops, calls or arithmetic, and a small output whatever the values."""
    braces = template.count("{")
    if len(template) > INLINE_TEMPLATE_CAP or braces > INLINE_BRACES_CAP:
        return False
    if not braces:
        return True
    outputs = _plain_outputs(template)
    return outputs is not None and len(template) + outputs * _size(values, INLINE_OUTPUT_CAP) <= INLINE_OUTPUT_CAP


def _joined(template: "Template", values: Mapping[str, Any]) -> str:
    parts: list[str] = []
    length = 0
    for part in template.generate(values):
        length += len(part)
        if length > OUTPUT_CAP:
            raise TemplateFault(f"its text is longer than {OUTPUT_CAP:,} characters")
        parts.append(part)
    return "".join(parts)


@lru_cache(maxsize=256)
def _compiled(template: str, escape_html: bool) -> "Template":
    return _environment(escape_html).from_string(template)


@lru_cache(maxsize=2)
def _environment(escape_html: bool) -> "SandboxedEnvironment":
    from jinja2 import BaseLoader  # noqa: PLC0415
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    environment = SandboxedEnvironment(loader=BaseLoader(), autoescape=escape_html, finalize=_printable)
    environment.globals.clear()
    for name in _REMOVED_FILTERS:
        environment.filters.pop(name, None)
    environment.filters["format"] = _format_number
    return environment


def _format_number(value: Any, pattern: str = "") -> Any:
    """``{{ price|format("%.2f") }}``: unlike Jinja's own filter, the number comes first."""
    return pattern % float(value) if pattern else value


def _printable(value: Any) -> Any:
    """Refuse to print what is not data: the text of a function or generator is never what was meant."""
    from jinja2 import Undefined  # noqa: PLC0415

    if value is None or isinstance(value, str | int | float | Undefined | KeysView | ValuesView | ItemsView):
        return value
    if isinstance(value, list | tuple | set | Mapping):
        for each in value.values() if isinstance(value, Mapping) else value:
            _printable(each)
        return value
    raise TemplateFault(
        f"it prints a {type(value).__name__} instead of a value (call a function with (), end a chain of filters with "
        "|list, and reach a key that is also the name of a function as value['key'])"
    )


@lru_cache(maxsize=1024)
def _plain_outputs(template: str) -> int | None:
    """How many times a value can be printed, weighted by what filters add; None when the template is not plain."""
    from jinja2.exceptions import TemplateError  # noqa: PLC0415

    try:
        tree = _environment(False).parse(template)
        return _weight(tree)
    except (TemplateError, ValueError, RecursionError):
        return None  # the worker will say what is wrong with it


def _weight(node: "Node") -> int | None:
    from jinja2 import nodes  # noqa: PLC0415

    if type(node).__name__ not in _PLAIN_NODES:
        return None
    total = 1 if isinstance(node, nodes.Name) else 0
    factor = 1
    if isinstance(node, nodes.Filter):
        if node.name not in _PLAIN_FILTERS or node.kwargs or node.dyn_args or node.dyn_kwargs:
            return None
        if not all(isinstance(each, nodes.Const) for each in node.args):
            return None
        factor += sum(len(str(each.value)) for each in node.args if isinstance(each, nodes.Const))
    for child in node.iter_child_nodes():
        weight = _weight(child)
        if weight is None:
            return None
        total += weight
    return total * factor


def _size(value: Any, limit: int) -> int:
    """About how many characters ``value`` takes when printed; stops counting soon after ``limit``."""
    total = 0
    waiting = [value]
    while waiting and total <= limit:
        each = waiting.pop()
        if isinstance(each, str):
            total += 2 + len(each)
        elif isinstance(each, Mapping):
            total += 2 + sum(4 + len(str(key)) for key in each)
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            total += 2 + 2 * len(each)
            waiting.extend(each)
        else:
            total += 24
    return total
