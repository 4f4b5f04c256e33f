"""Arithmetic and counting."""

import math
import operator
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin


class Operation(StrEnum):
    """What to do with two numbers."""

    ADD = "Add"
    SUBTRACT = "Subtract"
    MULTIPLY = "Multiply"
    DIVIDE = "Divide"
    POWER = "Power"


_CALCULATE: Mapping[Operation, Callable[[float, float], Any]] = {
    Operation.ADD: operator.add,
    Operation.SUBTRACT: operator.sub,
    Operation.MULTIPLY: operator.mul,
    Operation.DIVIDE: operator.truediv,
    Operation.POWER: operator.pow,
}


class CalculatorInput(Inputs):
    operation: Operation = pin("What to do with the two numbers.")
    a: float = pin("The first number.")
    b: float = pin("The second number: what is subtracted, the divisor, or the exponent.")
    round_result: bool = pin("Round to a whole number; halves go to the even neighbour.", default=False)


class CalculatorOutput(Outputs):
    result: float = pin("The result. Division by zero gives infinity; a result that is too large is not a number.")


@block(
    id="b1ab9b19-67a6-406d-abf5-2dba76d00c79",
    name="CalculatorBlock",
    outputs=CalculatorOutput,
    categories=("LOGIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"operation": "Add", "a": 10, "b": 5}, [("result", 15.0)]),
        Example({"operation": "Divide", "a": 7, "b": 2, "round_result": True}, [("result", 4)], title="Rounded"),
    ),
)
async def calculator(inputs: CalculatorInput, ctx: Context) -> Stream:
    """Add, subtract, multiply, divide or raise to a power."""
    yield "result", _calculate(inputs.operation, inputs.a, inputs.b, inputs.round_result)


def _calculate(operation: Operation, a: float, b: float, rounded: bool) -> float:
    try:
        result = _CALCULATE[operation](a, b)
    except ZeroDivisionError:
        return math.inf
    except OverflowError:
        return math.nan
    if isinstance(result, complex):
        raise BlockError(
            f"{a} to the power of {b} is not a real number.", fix="Use a whole exponent for a negative number."
        )
    if rounded:
        return round(result) if math.isfinite(result) else math.nan
    return float(result)


class CountItemsInput(Inputs):
    collection: Any = pin("A list, a dictionary, or a text.")


class CountItemsOutput(Outputs):
    count: int = pin("The number of items, keys or characters; -1 for a value that has none.")


@block(
    id="3c9c2f42-b0c3-435f-ba35-05f7a25c772a",
    name="CountItemsBlock",
    outputs=CountItemsOutput,
    categories=("LOGIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"collection": [1, 2, 3]}, [("count", 3)]),
        Example({"collection": {"a": 1}}, [("count", 1)]),
        Example({"collection": "abc"}, [("count", 3)], title="The characters of a text"),
    ),
)
async def count_items(inputs: CountItemsInput, ctx: Context) -> Stream:
    """Count the items of a list, the keys of a dictionary or the characters of a text."""
    countable = isinstance(inputs.collection, list | dict | str | tuple)
    yield "count", len(inputs.collection) if countable else -1


BLOCKS = (calculator, count_items)
