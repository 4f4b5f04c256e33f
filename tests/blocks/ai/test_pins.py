"""The AI blocks have the reference's pins; where they differ on purpose, it is named here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from tests.shared_files import SHARED, needs_shared
from treadle.blocks.ai import BLOCKS
from treadle.sdk.block import Block

CATALOGUE = SHARED / "reference" / "blocks" / "catalogue.json"

OPTIONAL_HERE = "credentials"
"""Models of one's own machine need no account: the run asks for one when the model does."""

OWN_WORDS = {("SmartDecisionMakerBlock", "sys_prompt")}
"""A default that is a text of several sentences has the same meaning here, in our own words."""


def known(block: Block) -> dict[str, Any]:
    blocks = json.loads(CATALOGUE.read_text(encoding="utf-8"))["blocks"]
    return next(each for each in blocks if each["id"] == block.id)


@needs_shared(CATALOGUE)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_pins_and_defaults(block: Block) -> None:
    facts = known(block)
    assert (block.name, block.kind.value) == (facts["class"], facts["block_type"])
    assert {each["name"] for each in facts["outputs"]} == set(block.output_schema["properties"])
    assert [each["name"] for each in facts["inputs"]] == list(block.reader.pins)
    for fact in facts["inputs"]:
        pin = block.reader.pins[fact["name"]]
        assert pin.schema.get("advanced") == fact["advanced"], pin.name
        if pin.name == OPTIONAL_HERE:
            continue
        assert pin.required == fact["required"], pin.name
        if not pin.required and (block.name, pin.name) not in OWN_WORDS:
            assert to_jsonable_python(pin.default) == fact.get("default"), pin.name


@needs_shared(CATALOGUE)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_account_of_the_reference_can_be_used(block: Block) -> None:
    [fact] = known(block)["credentials"]
    pin = block.reader.pins["credentials"].schema
    assert set(fact["providers"]) <= set(pin["credentials_provider"])
    assert pin["discriminator"] == fact["discriminator"]
    assert set(pin["discriminator_mapping"].values()) >= set(fact["providers"])


def test_provider_libraries_are_not_loaded_before_they_are_used() -> None:
    code = (
        "import sys, treadle.blocks.ai, treadle.sdk.models.service\n"
        "names = ('openai', 'anthropic', 'google.genai', 'mistralai', 'httpx2', 'xllamacpp')\n"
        "print([name for name in names if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
