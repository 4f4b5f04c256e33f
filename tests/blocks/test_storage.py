"""Stored values: where they are kept, and that no value vanishes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.ids import GraphId
from treadle.blocks.storage import persist_information, retrieve_information
from treadle.kernel.values import clean_text
from treadle.sdk.testing import MemoryStorage, make_context, run_block

VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(VALUES, st.text(), st.sampled_from(["within_agent", "across_agents"]))
async def test_what_is_kept_is_found(value: Any, key: str, scope: str) -> None:
    context = make_context()
    where = {"key": key, "scope": scope}
    kept = await run_block(persist_information, {**where, "value": value}, context)
    found = await run_block(retrieve_information, {**where, "default_value": "default"}, context)
    assert kept == found == [("value", clean_text(value))]


@pytest.mark.parametrize(("scope", "address"), [("within_agent", "agent#g#k"), ("across_agents", "global#k")])
async def test_addresses(scope: str, address: str) -> None:
    storage = MemoryStorage()
    context = make_context(storage=storage, graph=GraphId("g"))
    await run_block(persist_information, {"key": "k", "value": 1, "scope": scope}, context)
    assert storage.data == {address: 1}
