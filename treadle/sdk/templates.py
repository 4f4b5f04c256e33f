"""Filling in templates, for every block that takes one."""

from collections.abc import Mapping
from typing import Any

from treadle.sdk.context import Compute
from treadle.sdk.errors import BlockError
from treadle.sdk.template_engine import TemplateFault, is_plain, render_now

SECONDS = 1.0
"""How long a template may take."""

MEGABYTES = 64
"""How much memory a template may take."""


async def render(template: str, values: Mapping[str, Any], compute: Compute, *, escape_html: bool = False) -> str:
    """Fill in a Jinja template: in place when it is sure to be quick, else in a process that is killed at its limits.

    Raises:
        BlockError: the template is wrong, does not fit the values, or passes a limit of time, memory or length.
    """
    if is_plain(template, values):
        try:
            return render_now(template, values, escape_html=escape_html)
        except TemplateFault as fault:
            raise _error(str(fault)) from fault
    answer = await compute.call(
        "treadle.sdk.template_engine:render_in_worker",
        template,
        dict(values),
        escape_html,
        seconds=SECONDS,
        megabytes=MEGABYTES,
    )
    if "fault" in answer:
        raise _error(answer["fault"])
    return str(answer["text"])


def _error(fault: str) -> BlockError:
    return BlockError(
        f"The template cannot be filled in: {fault.rstrip('.')}.",
        fix="Check the names between {{ and }}, the filters, and that every {% if %} and {% for %} has its end.",
    )
