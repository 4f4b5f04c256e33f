"""Sampling: sizes, groups, weights, seeds."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.sampling import SamplingMethod, sample_data
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block

ROWS = [{"id": n, "g": "abc"[n % 3], "w": n} for n in range(9)]
KEYS = {"stratify_key": "g", "weight_key": "w", "cluster_key": "g"}


async def sample(method: str, size: int, rows: Any = ROWS, **more: Any) -> list[int]:
    inputs = {"data": rows, "sample_size": size, "sampling_method": method, **KEYS, **more}
    [(first, chosen), (second, indices)] = await run_block(sample_data, inputs)
    assert (first, second) == ("sampled_data", "sample_indices")
    assert chosen == [rows[index] for index in indices]
    assert isinstance(indices, list)
    return indices


@pytest.mark.parametrize(
    ("method", "size", "seed", "indices"),
    [
        ("random", 3, 42, [1, 0, 5]),
        ("systematic", 4, 7, [1, 3, 5, 7]),
        ("stratified", 5, 42, [6, 0, 3, 7, 5]),
        ("stratified", 2, 1, [1, 8]),
        ("weighted", 3, 42, [7, 1, 4]),
        ("reservoir", 3, 42, [4, 1, 6]),
        ("cluster", 4, 42, [2, 8, 5, 6]),
        ("top", 2, None, [0, 1]),
        ("bottom", 2, None, [7, 8]),
    ],
)
async def test_a_seed_gives_the_same_rows_as_ever(method: str, size: int, seed: int | None, indices: list[int]) -> None:
    assert await sample(method, size, random_seed=seed) == indices


@given(st.sampled_from(SamplingMethod), st.integers(0, 12), st.lists(st.sampled_from("abcd"), min_size=12, max_size=40))
async def test_the_size_is_what_was_asked_for(method: SamplingMethod, size: int, groups: list[str]) -> None:
    rows = [{"g": each, "w": 1 + place} for place, each in enumerate(groups)]
    indices = await sample(method.value, size, rows)
    assert len(indices) == size
    if method is not SamplingMethod.WEIGHTED:
        assert len(set(indices)) == size


async def test_shares_follow_the_groups() -> None:
    rows = [{"g": "a"}] * 60 + [{"g": "b"}] * 30 + [{"g": "c"}]
    counts = Counter(rows[index]["g"] for index in await sample("stratified", 10, rows))
    assert counts["c"] == 1
    assert counts["a"] > counts["b"] > 2


async def test_one_object_is_one_row_and_too_few_rows_can_wait() -> None:
    assert (await run_block(sample_data, {"data": {"a": 1}, "sample_size": 1}))[0] == ("sampled_data", [{"a": 1}])
    assert await run_block(sample_data, {"data": ROWS, "sample_size": 20, "accumulate": True}) == []


@pytest.mark.parametrize(
    ("method", "size", "more"),
    [
        ("top", 10, {}),
        ("top", -1, {}),
        ("random", -1, {}),
        ("stratified", 3, {"stratify_key": None}),
        ("stratified", 3, {"stratify_key": "zz"}),
        ("weighted", 3, {"weight_key": None}),
        ("weighted", 3, {"weight_key": "zz"}),
        ("weighted", 3, {"weight_key": "g"}),
        ("weighted", 1, {"data": [{"w": 0}]}),
        ("weighted", 1, {"data": [{"w": "nan"}]}),
        ("cluster", 3, {"cluster_key": ""}),
    ],
)
async def test_what_cannot_be_sampled_is_an_error(method: str, size: int, more: dict[str, Any]) -> None:
    with pytest.raises(BlockError) as caught:
        await run_block(sample_data, {"data": ROWS, "sample_size": size, "sampling_method": method, **KEYS, **more})
    assert caught.value.fix
