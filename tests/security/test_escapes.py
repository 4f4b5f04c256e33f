"""No text of a user leads from a template or from code to the host: not to objects, files or the environment."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.security.escapes import DUNDER, FORMATS, JINJA, PYTHON, STATEMENTS
from treadle.blocks.catalogue import WORKER_FUNCTIONS
from treadle.blocks.python_code import run_python
from treadle.blocks.text import fill_text_template
from treadle.sdk.compute import ComputePool
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import make_context, run_block

pytestmark = pytest.mark.asyncio(loop_scope="module")
CANARY = "canary-of-the-environment"
VALUE = "some text"
HOST = re.compile(
    rf"{CANARY}|root:|/bin/|uid=\d|<(class '(?!X')|function |bound method|built-in |module '|frame |code object)"
    r"|<(generator object|slot )|object at 0x|method-wrapper|mappingproxy|SourceFileLoader|site-packages"
)
"""What nobody outside may see of the host. (X is a class of the code's own.)"""
TEMPLATES = (*(f"{{{{ {each} }}}}" for each in (*DUNDER, *FORMATS, *JINJA)), *STATEMENTS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ComputePool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_OF_THE_HOST", CANARY)
        compute = ComputePool(WORKER_FUNCTIONS)
        yield compute
        await compute.aclose()


def harmless(shown: Any) -> bool:
    """Whether it shows nothing of the host. What was asked may be quoted."""
    return HOST.search(str(shown)) is None


@pytest.mark.parametrize("template", TEMPLATES)
async def test_templates(template: str, pool: ComputePool) -> None:
    inputs = {"format": template, "values": {"value": VALUE}}
    try:
        [(pin, text)] = await run_block(fill_text_template, inputs, make_context(compute=pool))
    except BlockError as error:
        assert harmless(error.message.replace(template, ""))
        return
    assert pin == "output"
    assert harmless(text)


@pytest.mark.parametrize("code", [*DUNDER, *FORMATS, *PYTHON])
async def test_python(code: str) -> None:
    inputs = {"code": code, "inputs": {"value": VALUE, "credentials": "none"}}
    try:
        outputs = dict(await run_block(run_python, inputs))
    except BlockError as error:
        assert harmless(error.message.replace(code, ""))
        return
    assert harmless(outputs["result"])
    assert harmless(outputs["printed"])
