"""The built-in blocks have the ids, pins and defaults that exported agents name."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from tests.shared_files import SHARED, needs_shared
from treadle.blocks.catalogue import ALL_BLOCKS
from treadle.sdk.block import Block

LONGEST_SAME_TEXT = 100
CATALOGUE = SHARED / "reference" / "blocks" / "catalogue.json"


@cache
def reference() -> Mapping[str, Any]:
    """The reference's blocks by id; empty where the file is not there."""
    if not CATALOGUE.exists():
        return {}
    return {each["id"]: each for each in json.loads(CATALOGUE.read_text(encoding="utf-8"))["blocks"]}


SHARED_BLOCKS = [pytest.param(each, id=each.name) for each in ALL_BLOCKS if each.id in reference()]


@needs_shared(CATALOGUE)
@pytest.mark.parametrize("block", SHARED_BLOCKS)
def test_name_role_and_categories(block: Block) -> None:
    known = reference()[block.id]
    assert (block.name, block.kind.value, block.static_output) == (
        known["class"],
        known["block_type"],
        known["static_output"],
    )
    assert set(known["categories"]) <= set(block.categories)


@needs_shared(CATALOGUE)
@pytest.mark.parametrize("block", SHARED_BLOCKS)
def test_input_pins(block: Block) -> None:
    properties = block.input_schema["properties"]
    pins = block.reader.pins
    for known in reference()[block.id]["inputs"]:
        name = known["name"]
        assert name in pins, f"{name} is missing"
        if block.dynamic_inputs:
            continue  # its own pins are filled in when it is put into a graph
        if name == "credentials":
            continue  # whether a model needs them depends on its provider
        assert pins[name].required == known["required"], name
        assert properties[name].get("advanced") == known["advanced"], name
        if not known["required"]:
            assert same_default(to_jsonable_python(pins[name].default), known.get("default")), name


def same_default(ours: Any, known: Any) -> bool:
    """Equal; of long texts, such as instructions to a model, only that there is one: the words are our own."""
    if isinstance(known, str) and len(known) > LONGEST_SAME_TEXT:
        return isinstance(ours, str) and len(ours) > LONGEST_SAME_TEXT
    return bool(ours == known)


@needs_shared(CATALOGUE)
@pytest.mark.parametrize("block", SHARED_BLOCKS)
def test_output_pins(block: Block) -> None:
    assert {each["name"] for each in reference()[block.id]["outputs"]} <= block.output_schema["properties"].keys()


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.name)
def test_is_described_for_people(block: Block) -> None:
    assert block.description.endswith(".")
    for name, schema in block.input_schema["properties"].items():
        assert schema.get("description"), f"{name} has no description"
