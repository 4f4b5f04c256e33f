"""Blocks on dictionaries: what their examples and the recorded vectors leave open."""

from typing import Any

import pytest

from treadle.blocks.dictionaries import (
    add_to_dictionary,
    find_in_dictionary,
    remove_from_dictionary,
    replace_dictionary_value,
)
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(
    ("data", "key", "output"),
    [
        ({"a": None}, "a", ("output", None)),
        ({"1": "x"}, 1, ("output", "x")),
        ("[5, 6]", "1", ("output", 6)),
        ([5, 6], 2, ("missing", [5, 6])),
        ([5, 6], -1, ("missing", [5, 6])),
        ([{"b": 2}, {"a": 1}], "a", ("output", [1])),
        ([{"0": "x"}, {"0": "y"}], "0", ("output", ["x", "y"])),
        ([{"0": "x"}, {"0": "y"}], 0, ("output", {"0": "x"})),
        ([{"a": 1}], "z", ("output", [])),
        ({"a": 1}, "__class__", ("missing", {"a": 1})),
        ({"a": 1}, "keys", ("missing", {"a": 1})),
        (7, "real", ("missing", 7)),
        ('{"a": {"b": 1}}', "a", ("output", {"b": 1})),
        ('{"a": 1}', "b", ("missing", '{"a": 1}')),
    ],
)
async def test_looking_up(data: Any, key: Any, output: tuple[str, Any]) -> None:
    assert await run_block(find_in_dictionary, {"input": data, "key": key}) == [output]


@pytest.mark.parametrize("text", ["not json", "NaN", "[" * 100_000])
async def test_text_that_is_no_json_is_an_error(text: str) -> None:
    with pytest.raises(BlockError, match="not JSON"):
        await run_block(find_in_dictionary, {"input": text, "key": "a"})


async def test_entries_win_over_the_single_key_and_nothing_is_changed_in_place() -> None:
    given = {"a": 1}
    inputs = {"dictionary": given, "key": "b", "value": 1, "entries": {"b": 2}}
    assert await run_block(add_to_dictionary, inputs) == [("updated_dictionary", {"a": 1, "b": 2})]
    await run_block(remove_from_dictionary, {"dictionary": given, "key": "a"})
    await run_block(replace_dictionary_value, {"dictionary": given, "key": "a", "value": 5})
    assert given == {"a": 1}


async def test_a_missing_key_is_an_error_that_names_the_keys_there_are() -> None:
    for block, more in ((remove_from_dictionary, {}), (replace_dictionary_value, {"value": 1})):
        with pytest.raises(BlockError, match="no key 'z'") as caught:
            await run_block(block, {"dictionary": {"a": 1}, "key": "z", **more})
        assert "'a'" in caught.value.fix
