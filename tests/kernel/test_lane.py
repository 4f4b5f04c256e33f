"""Lines at nodes, of which a part is kept elsewhere: their order, their length, and what of them stays in memory."""

from array import array
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.kernel.firing import Firing
from treadle.kernel.lane import Chunk, Lane, Spilled, keys_in, pack_set, put_back, unpack_set, wanted

STEPS = st.lists(st.tuples(st.sampled_from(["add", "add", "add", "take", "move"]), st.integers(1, 5)), max_size=60)


@given(STEPS)
def test_what_comes_out_is_what_went_in_whatever_is_kept_elsewhere(steps: list[tuple[str, int]]) -> None:
    lane, plain, elsewhere = Lane(), deque[int](), dict[int, list[Any]]()
    for count, (step, amount) in enumerate(steps):
        if step == "add":
            plain.append(count)
            lane.last.append((count, (count, 0)))
        elif step == "take" and plain:
            value, _ = lane.pop()
            got = elsewhere[value.key][value.index][0] if isinstance(value, Spilled) else value
            assert got == plain.popleft()
        elif step == "move" and (entries := lane.movable(amount)):
            elsewhere[count] = entries
            lane.move(Chunk(count, len(entries), None))
        assert len(lane) == len(plain)
        assert bool(lane.head) == bool(plain), "the first is always at hand"
        assert lane.in_memory == len(lane) - sum(chunk.count for chunk in lane.chunks)


def test_an_empty_lane_has_nothing_to_take() -> None:
    with pytest.raises(IndexError):
        Lane().pop()


@given(st.lists(st.integers(1, 2**40), min_size=1, unique=True).map(sorted))
def test_a_chunk_knows_the_numbers_of_its_firings(numbers: list[int]) -> None:
    chunk = Chunk(1, len(numbers), numbers)
    assert [entry[0] for entry in chunk.entries()] == numbers


def test_evenly_spaced_numbers_take_no_room() -> None:
    assert Chunk(1, 3, [7, 9, 11]).numbers == range(7, 12, 2)
    assert Chunk(1, 1, [7]).numbers == range(7, 8)
    assert Chunk(1, 3, [7, 9, 12]).numbers == array("q", [7, 9, 12])


def test_a_firing_is_given_what_was_kept_elsewhere_step_by_step() -> None:
    """A complete set was taken away as a whole after one of its values had been."""
    entry = (7, {"a": Spilled(1, 0), "b": "at hand"}, ((0, 0), (5, 1)))
    firing = Firing(7, 0, {}, ())
    firing.elsewhere = Spilled(2, 0)
    assert wanted(firing) == [2]
    put_back(firing, {2: [unpack_set(pack_set(entry))]})
    assert wanted(firing) == keys_in(firing.values) == [1]
    put_back(firing, {1: [("was away", (3, 4))]})
    assert wanted(firing) == []
    assert (firing.values, firing.causes) == ({"a": "was away", "b": "at hand"}, ((3, 4), (5, 1)))
