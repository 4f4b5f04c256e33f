"""Filling in templates, for every block that takes one."""

from collections.abc import Mapping
from typing import Any

from treadle.sdk.compute import ComputeLimit
from treadle.sdk.context import Compute
from treadle.sdk.errors import BlockError
from treadle.sdk.template_engine import TemplateFault, is_plain, render_now

WORKER_FUNCTION = "treadle.sdk.template_worker:render"
"""What a pool of worker processes must allow."""

SECONDS = 1.0
"""How long a template may take."""

MEGABYTES = 64
"""How much memory a template may take."""


class TemplateFailed(BlockError):
    """The template could not be filled in; ``fault`` is what the template engine said."""

    def __init__(self, fault: str) -> None:
        super().__init__(
            f"The template cannot be filled in: {fault.rstrip('.')}.",
            fix="Check the names between {{ and }}, the filters, and that every {% if %} and {% for %} has its end.",
        )
        self.fault = fault


async def render(template: str, values: Mapping[str, Any], compute: Compute, *, escape_html: bool = False) -> str:
    """Fill in a Jinja template: in place when it is sure to be quick, else in a process that is killed at its limits.

    Raises:
        TemplateFailed: the template is wrong, does not fit the values, or passes a limit of time, memory or length.
    """
    if is_plain(template, values):
        try:
            return render_now(template, values, escape_html=escape_html)
        except TemplateFault as fault:
            raise TemplateFailed(str(fault)) from fault
    try:
        answer = await compute.call(
            WORKER_FUNCTION, template, dict(values), escape_html, seconds=SECONDS, megabytes=MEGABYTES
        )
    except ComputeLimit as limit:
        raise TemplateFailed(limit.message) from limit
    if "fault" in answer:
        raise TemplateFailed(answer["fault"])
    return str(answer["text"])
