"""What the worker processes of ``treadle.sdk.templates`` load: only the engine, and before the template's time runs."""

from typing import Any

import jinja2.sandbox

from treadle.sdk.template_engine import TemplateFault, render_now

ENGINE = jinja2.sandbox.SandboxedEnvironment
"""Loaded with this module, so that loading it is no part of a template's time."""


def render(template: str, values: dict[str, Any], escape_html: bool) -> dict[str, str]:
    """``{"text": ...}``, or ``{"fault": ...}`` saying what is wrong with the template."""
    try:
        return {"text": render_now(template, values, escape_html=escape_html)}
    except TemplateFault as fault:
        return {"fault": str(fault)}
