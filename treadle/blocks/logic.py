"""Blocks that decide which way a run goes on."""

import operator
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from treadle.blocks.equality import same
from treadle.kernel.values import CoercionError, coercer
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin


class ComparisonOperator(StrEnum):
    """How two values are compared."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    GREATER_THAN = ">"
    LESS_THAN = "<"
    GREATER_THAN_OR_EQUAL = ">="
    LESS_THAN_OR_EQUAL = "<="


_COMPARE: Mapping[ComparisonOperator, Callable[[Any, Any], Any]] = {
    ComparisonOperator.EQUAL: operator.eq,
    ComparisonOperator.NOT_EQUAL: operator.ne,
    ComparisonOperator.GREATER_THAN: operator.gt,
    ComparisonOperator.LESS_THAN: operator.lt,
    ComparisonOperator.GREATER_THAN_OR_EQUAL: operator.ge,
    ComparisonOperator.LESS_THAN_OR_EQUAL: operator.le,
}


class ConditionInput(Inputs):
    value1: Any = pin("The first value. Text that is a number counts as that number.")
    operator: ComparisonOperator = pin("How to compare the first value with the second.")
    value2: Any = pin("The second value.")
    yes_value: Any = pin("What to send when the comparison is true; without it, the first value.", default=None)
    no_value: Any = pin("What to send when the comparison is false; without it, the second value.", default=None)


class ConditionOutput(Outputs):
    result: bool = pin("Whether the comparison is true.")
    yes_output: Any = pin("Sent only when the comparison is true.")
    no_output: Any = pin("Sent only when the comparison is false.")


@block(
    id="715696a0-e1da-45c8-b209-c2fa9c3b0be6",
    name="ConditionBlock",
    outputs=ConditionOutput,
    categories=("LOGIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"value1": 10, "operator": ">", "value2": 5}, [("result", True), ("yes_output", 10)]),
        Example({"value1": "10", "operator": "<", "value2": "9"}, [("result", False), ("no_output", 9.0)]),
        Example(
            {"value1": "a", "operator": "==", "value2": "b", "yes_value": "same", "no_value": "other"},
            [("result", False), ("no_output", "other")],
            title="With values for both ways",
        ),
    ),
)
async def condition(inputs: ConditionInput, ctx: Context) -> Stream:
    """Compare two values and go on along one of two ways."""
    first, second = _comparable(inputs.value1), _comparable(inputs.value2)
    try:
        result = bool(_COMPARE[inputs.operator](first, second))
    except TypeError as error:
        raise BlockError(
            f"{type(first).__name__} and {type(second).__name__} cannot be compared with {inputs.operator.value}.",
            fix="Compare numbers with numbers or texts with texts, or use == or !=.",
        ) from error
    yield "result", result
    if result:
        yield "yes_output", first if inputs.yes_value is None else inputs.yes_value
    else:
        yield "no_output", second if inputs.no_value is None else inputs.no_value


def _comparable(value: Any) -> Any:
    """Text without blanks around it, as a number if it is one; any other value as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        return float(text)
    except ValueError:
        return text


class MatchesInput(Inputs):
    input: Any = pin("The value to look at.")
    value: Any = pin("The value that it should be; 1 and the text 1 are the same here.")
    yes_value: Any = pin("What to send when they match.", default=None)
    no_value: Any = pin("What to send when they do not match.", default=None)


class MatchesOutput(Outputs):
    result: bool = pin("Whether they match.")
    yes_output: Any = pin("The value for a match; sent only when they match.")
    no_output: Any = pin("The value for no match; sent only when they do not match.")


@block(
    id="6dbbc4b3-ca6c-42b6-b508-da52d23e13f2",
    name="IfInputMatchesBlock",
    outputs=MatchesOutput,
    categories=("LOGIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"input": 1, "value": "1", "yes_value": "Y", "no_value": "N"}, [("result", True), ("yes_output", "Y")]),
        Example(
            {"input": 0, "value": "abc", "yes_value": "Y", "no_value": "N"}, [("result", False), ("no_output", "N")]
        ),
    ),
)
async def if_input_matches(inputs: MatchesInput, ctx: Context) -> Stream:
    """Tell whether a value is what it should be, and go on along one of two ways."""
    result = _matches(inputs.input, inputs.value)
    yield "result", result
    yield ("yes_output", inputs.yes_value) if result else ("no_output", inputs.no_value)


def _matches(value: Any, wanted: Any) -> bool:
    """Equal, or equal once ``wanted`` is in the form of ``value``; what has no such form does not match."""
    if value == wanted:
        return True
    if isinstance(value, int | float) and not isinstance(wanted, str):
        return False
    convert = next((_FORMS[form] for form in _FORMS if isinstance(value, form)), None)
    try:
        return convert is not None and same(convert(wanted), value)
    except CoercionError:
        return False


_FORMS: Mapping[type, Callable[[Any], Any]] = {
    bool: coercer(bool),
    int: coercer(float),
    float: coercer(float),
    str: coercer(str),
    list: coercer(list[Any]),
    dict: coercer(dict[str, Any]),
}


BLOCKS = (condition, if_input_matches)
