"""Choosing some rows of many."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from random import Random
from typing import Any

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

Row = dict[str, Any] | list[Any]


class SamplingMethod(StrEnum):
    """How rows are chosen."""

    RANDOM = "random"
    SYSTEMATIC = "systematic"
    TOP = "top"
    BOTTOM = "bottom"
    STRATIFIED = "stratified"
    WEIGHTED = "weighted"
    RESERVOIR = "reservoir"
    CLUSTER = "cluster"


class SamplingInput(Inputs):
    data: dict[str, Any] | list[Row] = pin("The rows; a single object counts as one row.")
    sample_size: int = pin("How many rows to choose.", default=10)
    sampling_method: SamplingMethod = pin("How to choose them.", default=SamplingMethod.RANDOM)
    accumulate: bool = pin("Send nothing, instead of failing, when there are fewer rows than asked for.", default=False)
    random_seed: int | None = pin("A number that makes the choice the same every time.", default=None)
    stratify_key: str | None = pin(
        "For stratified: the key whose values form the groups, each with its share.", default=None
    )
    weight_key: str | None = pin("For weighted: the key that says how likely a row is chosen.", default=None)
    cluster_key: str | None = pin("For cluster: the key whose values form groups that stay together.", default=None)


class SamplingOutput(Outputs):
    sampled_data: list[Row] = pin("The chosen rows.")
    sample_indices: list[int] = pin("Where they were, counted from 0.")


_ROWS = [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]


@block(
    id="4a448883-71fa-49cf-91cf-70d793bd7d87",
    name="DataSamplingBlock",
    outputs=SamplingOutput,
    categories=("LOGIC",),
    work=Work.READ,
    examples=(
        Example(
            {"data": _ROWS, "sample_size": 2, "sampling_method": "bottom"},
            [("sampled_data", [{"n": 3}, {"n": 4}]), ("sample_indices", [2, 3])],
        ),
        Example(
            {"data": _ROWS, "sample_size": 2, "sampling_method": "systematic", "random_seed": 1},
            [("sampled_data", [{"n": 1}, {"n": 3}]), ("sample_indices", [0, 2])],
            title="Every second row",
        ),
    ),
)
async def sample_data(inputs: SamplingInput, ctx: Context) -> Stream:
    """Choose some rows of a list: at random, evenly spread, or by groups or weights."""
    rows: list[Row] = [inputs.data] if isinstance(inputs.data, dict) else inputs.data
    size = inputs.sample_size
    if inputs.accumulate and size > len(rows):
        return
    if not 0 <= size <= len(rows):
        raise BlockError(
            f"{size} rows cannot be chosen from {len(rows)}.", fix=f"Ask for a number from 0 to {len(rows)}."
        )
    indices = _CHOOSE[inputs.sampling_method](rows, inputs, Random(inputs.random_seed))
    yield "sampled_data", [rows[index] for index in indices]
    yield "sample_indices", indices


def _random(rows: list[Row], inputs: SamplingInput, random: Random) -> list[int]:
    return random.sample(range(len(rows)), inputs.sample_size)


def _systematic(rows: list[Row], inputs: SamplingInput, random: Random) -> list[int]:
    if not inputs.sample_size:
        return []
    step = len(rows) // inputs.sample_size
    return list(range(random.randint(0, step - 1), len(rows), step))[: inputs.sample_size]


def _top(rows: list[Row], inputs: SamplingInput, random: Random) -> list[int]:
    return list(range(inputs.sample_size))


def _bottom(rows: list[Row], inputs: SamplingInput, random: Random) -> list[int]:
    return list(range(len(rows) - inputs.sample_size, len(rows)))


def _reservoir(rows: list[Row], inputs: SamplingInput, random: Random) -> list[int]:
    """Algorithm R: each row in turn may take the place of a chosen one."""
    chosen = list(range(inputs.sample_size))
    for index in range(inputs.sample_size, len(rows)):
        place = random.randint(0, index)
        if place < inputs.sample_size:
            chosen[place] = index
    return chosen


def _stratified(rows: list[Row], inputs: SamplingInput, random: Random) -> list[int]:
    """Each group has its share, but at least one row; what is left over goes to, or is taken from, the largest."""
    key = _needed(inputs.stratify_key, "stratify_key", inputs)
    groups = _groups(rows, key)
    if None in groups:
        raise BlockError(
            f"A row has no value under the key {key!r}.", fix="Every row needs the key that forms the groups."
        )
    shares = {name: max(1, inputs.sample_size * len(group) // len(rows)) for name, group in groups.items()}
    surplus = sum(shares.values()) - inputs.sample_size  # from groups too small for a row of their own
    for name in sorted(shares, key=lambda name: -shares[name])[: max(0, surplus)]:
        shares[name] -= 1
    while (left := inputs.sample_size - sum(shares.values())) > 0:
        open_groups = [name for name in shares if shares[name] < len(groups[name])]
        largest = max(open_groups, key=lambda name: len(groups[name]))
        shares[largest] += min(left, len(groups[largest]) - shares[largest])
    return [index for name, group in groups.items() for index in random.sample(group, shares[name])]


def _weighted(rows: list[Row], inputs: SamplingInput, random: Random) -> list[int]:
    key = _needed(inputs.weight_key, "weight_key", inputs)
    weights = [_weight(row, key) for row in rows]
    if not inputs.sample_size:
        return []
    if not sum(weights) > 0:
        raise BlockError(f"No row has a weight under the key {key!r}.", fix="At least one must be more than 0.")
    return random.choices(range(len(rows)), weights=weights, k=inputs.sample_size)


def _cluster(rows: list[Row], inputs: SamplingInput, random: Random) -> list[int]:
    """Whole groups in random order until there are enough rows; of these, as many as asked for."""
    groups = list(_groups(rows, _needed(inputs.cluster_key, "cluster_key", inputs)).values())
    chosen: list[int] = []
    while len(chosen) < inputs.sample_size:
        place = random.randrange(len(groups))
        chosen += groups[place]
        groups[place] = groups[-1]
        groups.pop()
    return chosen if len(chosen) == inputs.sample_size else random.sample(chosen, inputs.sample_size)


def _needed(key: str | None, pin_name: str, inputs: SamplingInput) -> str:
    if not key:
        raise BlockError(
            f"The method {inputs.sampling_method.value} needs {pin_name}.", fix=f"Give {pin_name} a value."
        )
    return key


def _groups(rows: list[Row], key: str) -> dict[str | None, list[int]]:
    """The indices of the rows, by the text of their value under the key; None for rows without one."""
    groups: dict[str | None, list[int]] = {}
    for index, row in enumerate(rows):
        value = row.get(key) if isinstance(row, dict) else None
        groups.setdefault(None if value is None else str(value), []).append(index)
    return groups


def _weight(row: Row, key: str) -> float:
    value = row.get(key) if isinstance(row, dict) else None
    try:
        weight = float(value)  # type: ignore[arg-type] # None and containers are among what is refused
    except (TypeError, ValueError):
        weight = -1.0
    if not 0 <= weight < float("inf"):
        raise BlockError(
            f"The weight of a row under the key {key!r} is not a number of at least 0.", fix="Correct the rows."
        )
    return weight


_CHOOSE: Mapping[SamplingMethod, Callable[[list[Row], SamplingInput, Random], list[int]]] = {
    SamplingMethod.RANDOM: _random,
    SamplingMethod.SYSTEMATIC: _systematic,
    SamplingMethod.TOP: _top,
    SamplingMethod.BOTTOM: _bottom,
    SamplingMethod.STRATIFIED: _stratified,
    SamplingMethod.WEIGHTED: _weighted,
    SamplingMethod.RESERVOIR: _reservoir,
    SamplingMethod.CLUSTER: _cluster,
}

BLOCKS = (sample_data,)
