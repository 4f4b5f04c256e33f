"""Arithmetic at its edges."""

import math

import pytest

from treadle.blocks.maths import calculator
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block


async def calculate(operation: str, a: float, b: float, rounded: bool = False) -> float:
    outputs = await run_block(calculator, {"operation": operation, "a": a, "b": b, "round_result": rounded})
    (name, value) = outputs[0]
    assert (name, len(outputs)) == ("result", 1)
    assert isinstance(value, int | float)
    return value


async def test_division_by_zero_is_infinity() -> None:
    assert await calculate("Divide", -1, 0) == math.inf
    assert await calculate("Divide", 1, 0, rounded=True) == math.inf
    assert await calculate("Power", 0, -1) == math.inf


async def test_too_large_is_infinity_or_not_a_number() -> None:
    assert await calculate("Multiply", 1e308, 10) == math.inf
    assert math.isnan(await calculate("Multiply", 1e308, 10, rounded=True))
    assert math.isnan(await calculate("Power", 10, 400))
    assert math.isnan(await calculate("Power", 9, 9e9))


async def test_halves_are_rounded_to_even_whole_numbers() -> None:
    results = [await calculate("Divide", each, 2, rounded=True) for each in (1, 3, 5)]
    assert results == [0, 2, 2]
    assert all(isinstance(each, int) for each in results)


async def test_a_root_of_a_negative_number_is_an_error() -> None:
    with pytest.raises(BlockError, match="not a real number"):
        await calculate("Power", -1, 0.5)
