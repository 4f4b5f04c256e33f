"""Storing and reading files of the run."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.files import read_file, store_file
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import ScriptedReply, make_context, run_block


async def texts(content: str | bytes, **options: Any) -> list[str]:
    context = make_context(files={"f.txt": content})
    return [text for _, text in await run_block(read_file, {"file_input": "f.txt", **options}, context)]


@given(st.text(alphabet="ab,\n é", max_size=60), st.integers(1, 7))
async def test_pieces_make_up_the_text(content: str, size: int) -> None:
    pieces = await texts(content, size_limit=size)
    assert "".join(pieces) == content
    assert all(0 < len(piece) <= size for piece in pieces)


@pytest.mark.parametrize(
    ("content", "options", "pieces"),
    [
        ("", {}, []),
        ("a,b,c", {"delimiter": ",", "skip_rows": 1}, ["b,c"]),
        ("a,b,c", {"delimiter": ",", "row_limit": 2}, ["a,b"]),
        ("aa,b,c", {"delimiter": ",", "size_limit": 3}, ["aa,", "b,c"]),
        ("aa,b,c", {"delimiter": ",", "size_limit": 2, "skip_rows": 1}, ["b,", "c"]),
        ("a,b", {"delimiter": ",", "skip_rows": 5, "size_limit": 1}, [""]),
        ("a,b", {"delimiter": ",", "skip_rows": 5}, [""]),
        ("abc", {"skip_size": -1, "skip_rows": -1, "row_limit": -1}, ["abc"]),
        (b"a\r\nb\rc", {}, ["a\nb\nc"]),
        (b"\xff", {}, ["ÿ"]),
    ],
)
async def test_rows_and_pieces(content: str | bytes, options: dict[str, Any], pieces: list[str]) -> None:
    assert await texts(content, **options) == pieces


async def test_a_file_from_the_web_can_be_read_by_its_name() -> None:
    answer = ScriptedReply(b"hello", headers={"content-type": "text/plain"}, url="https://x.test/notes.txt")
    context = make_context(http=[lambda request: answer])
    ((_, name),) = await run_block(store_file, {"file_in": "https://x.test/notes.txt"}, context)
    assert await run_block(read_file, {"file_input": name}, context) == [("content", "hello")]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "file:///etc/passwd", "s3://other/x", ""])
async def test_other_places_cannot_be_read(name: str) -> None:
    for block, pin in ((store_file, "file_in"), (read_file, "file_input")):
        with pytest.raises(BlockError, match="no file"):
            await run_block(block, {pin: name})
