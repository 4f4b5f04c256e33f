"""The estimate of tokens, and texts cut by it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.sdk.models.tokens import chunks, estimate


@given(st.text(max_size=2000), st.integers(2, 50), st.data())
def test_pieces_hold_the_whole_text_and_are_small(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    pieces = chunks(text, size, overlap)
    assert all(estimate(piece) <= size + 1 for piece in pieces)
    left = text.replace("\r\n", "\n")
    for piece in chunks(text, size, 0):
        assert piece in left
        left = left[left.index(piece) + len(piece) :]
    assert left.strip() == ""


def test_pieces_overlap() -> None:
    words = [f"word{number}" for number in range(100)]
    first, second, *_ = chunks(" ".join(words), 50, 10)
    repeated = set(first.split()) & set(second.split())
    assert repeated and repeated <= set(first.split()[-6:])


@pytest.mark.parametrize("overlap", [-1, 10, 11])
def test_an_overlap_must_be_under_the_size(overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunks("text", 10, overlap)


def test_text_outside_ascii_weighs_more() -> None:
    assert estimate("语" * 100) > 2 * estimate("a" * 100)
