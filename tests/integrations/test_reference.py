"""Ids, pins, types and defaults are those that exported agents rely on."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tests.shared_files import SHARED
from treadle.integrations.catalogue import ALL_BLOCKS
from treadle.sdk.block import Block

KINDS = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
OWN_DEFAULTS = {("PublishToMediumBlock", "author_id")}
"""The reference's default is an object of its own."""

OPTIONAL_HERE = {("TranscribeYoutubeVideoBlock", "credentials")}
"""Captions are read without an account."""


@lru_cache(1)
def facts(shared: Path) -> dict[str, dict[str, Any]]:
    """What is known of each block that agents may use, by its class; empty where the file is not there."""
    file = shared / "reference" / "blocks" / "catalogue.json"
    blocks = json.loads(file.read_text(encoding="utf-8"))["blocks"] if file.is_file() else []
    return {block["class"]: block for block in blocks}


KNOWN = [each for each in ALL_BLOCKS if each.name in facts(SHARED)]
"""Treadle may have blocks of its own beside them."""


def kind_of(schema: dict[str, Any]) -> str | None:
    """The JSON type of a pin, its null aside."""
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    kind = choices[0].get("type")
    return kind if len(choices) == 1 and isinstance(kind, str) else None


@pytest.mark.parametrize("block", KNOWN, ids=lambda each: each.name)
def test_a_block_is_the_one_that_agents_know(shared: Path, block: Block) -> None:
    fact = facts(shared)[block.name]
    assert block.id == fact["id"]
    assert set(block.input_schema["properties"]) == {pin["name"] for pin in fact["inputs"]}
    assert set(block.output_schema["properties"]) == {pin["name"] for pin in fact["outputs"]}
    assert bool(block.disabled) == (fact["disabled"] == "always")
    assert set(block.categories) == set(fact["categories"])


@pytest.mark.parametrize("block", KNOWN, ids=lambda each: each.name)
def test_its_pins_have_the_same_types_and_defaults(shared: Path, block: Block) -> None:
    for pin in facts(shared)[block.name]["inputs"]:
        name, schema = pin["name"], block.input_schema["properties"][pin["name"]]
        required = name in block.input_schema.get("required", [])
        assert required == pin["required"] or (block.name, name) in OPTIONAL_HERE, name
        if not pin["required"] and (block.name, name) not in OWN_DEFAULTS:
            assert schema.get("default", [] if kind_of(schema) == "array" else {}) == pin["default"], name
        plain = pin["type"].removesuffix("|null")
        if plain in KINDS:
            assert kind_of(schema) == plain, name
        if plain.startswith("enum"):
            values = plain.split("[", 1)[1].rstrip("]").split(",")
            known = next(each["enum"] for each in schema.get("anyOf", [schema]) if "enum" in each)
            assert known[:12] == [value for value in values if value != "…"], name
        if name != "credentials":
            assert schema["advanced"] == pin["advanced"], name


@pytest.mark.parametrize("block", KNOWN, ids=lambda each: each.name)
def test_its_credentials_are_the_same(shared: Path, block: Block) -> None:
    for want in facts(shared)[block.name]["credentials"]:
        pin = block.input_schema["properties"][want["field"]]
        assert pin["credentials_provider"] == want["providers"]
        assert set(pin["credentials_types"]) == set(want["types"])
        assert pin["credentials_scopes"] == want["scopes"]
