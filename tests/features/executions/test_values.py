"""Large values come piece by piece, whole, as JSON, and without secrets, wherever the pieces are cut."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.executions.coroutines import run_now
from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, WorkspaceId
from treadle.engine.blobs import LocalBlobs
from treadle.engine.ports import Blobs
from treadle.engine.secrets import masked
from treadle.features.executions.values import stored_value
from treadle.kernel.records import Reference, encode_records

TOKEN = "treadle-secret." + "Ab-_9" * 6 + "."


class Pieces(Blobs):
    """One stored value, given out in pieces of some sizes."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self.content = content
        self.sizes = sizes

    async def put(self, workspace: WorkspaceId, digest: str, content: bytes) -> None:
        self.content = content

    async def get(self, workspace: WorkspaceId, digest: str) -> bytes:
        return self.content

    async def read(self, workspace: WorkspaceId, digest: str) -> AsyncGenerator[bytes, None]:
        place = 0
        for size in self.sizes:
            yield self.content[place : place + size]
            place += size
        yield self.content[place:]


async def _read(blobs: Blobs) -> bytes:
    value = await stored_value(blobs, LOCAL_WORKSPACE, "0" * 64)
    return b"".join([piece async for piece in value.pieces])


def _given_out(value: Any, sizes: list[int]) -> Any:
    return json.loads(run_now(_read(Pieces(encode_records([("", value)]), sizes))))


texts = st.lists(st.sampled_from([TOKEN, "treadle-secret.", "treadle", ".", "a", '"', "ä", "\\", "\n"])).map("".join)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
sizes = st.lists(st.integers(1, 60), max_size=12)


@given(plain, sizes)
def test_a_value_comes_whole_and_without_secrets(value: Any, sizes: list[int]) -> None:
    assert _given_out(value, sizes) == masked(value)


@given(sizes)
def test_what_json_lacks_comes_as_text(sizes: list[int]) -> None:
    value = [float("inf"), 2**70, {"$blob": 1}, Reference("d", 5), TOKEN]
    assert _given_out(value, sizes) == ["inf", 2**70, {"$blob": 1}, {"size": 5, "sha256": "d"}, "***"]


def test_a_long_text_without_secrets_is_not_held_back() -> None:
    async def first_piece() -> bytes:
        content = encode_records([("", "a" * 1_000_000)])
        value = await stored_value(Pieces(content, [500_000]), LOCAL_WORKSPACE, "0" * 64)
        return await anext(value.pieces)

    assert len(run_now(first_piece())) > 499_000


def test_a_value_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        run_now(_read(LocalBlobs(tmp_path)))
