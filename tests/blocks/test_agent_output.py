"""Outputs of agents, with templates."""

import pytest

from treadle.blocks.agent_output import agent_output
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("<{{ o }}>", "<<b>>"),
        ("{% for each in o %}{{ each }} {% endfor %}", "< b > "),
        ("{{ o|nofilter }}", "Error: No filter named 'nofilter'., <b>"),
        ("{{ o", "Error: unexpected end of template, expected 'end of print statement'., <b>"),
    ],
)
async def test_templates(template: str, text: str) -> None:
    assert await run_block(agent_output, {"name": "o", "value": "<b>", "format": template}) == [("output", text)]


async def test_html_is_escaped_when_asked_for() -> None:
    inputs = {"name": "o", "value": "<b>", "format": "<i>{{ o }}</i>", "escape_html": True}
    assert await run_block(agent_output, inputs) == [("output", "<i>&lt;b&gt;</i>")]


@pytest.mark.parametrize(
    "template", ["{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__ }}", "{{ o.upper }}"]
)
async def test_no_path_leads_to_the_host_language(template: str) -> None:
    ((_, text),) = await run_block(agent_output, {"name": "o", "value": "v", "format": template})
    assert text.startswith("Error: ")


async def test_a_name_is_required() -> None:
    with pytest.raises(BlockError, match="name"):
        await run_block(agent_output, {"value": 1})
