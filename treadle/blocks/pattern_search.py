"""Searching texts for the regular expressions of users: in place where that is sure to be quick, else in a process."""

from typing import Any

from treadle.blocks.pattern_engine import Flags, by_re2, is_small
from treadle.sdk.compute import ComputeLimit
from treadle.sdk.context import Compute
from treadle.sdk.errors import BlockError

WORKER_FUNCTION = "treadle.blocks.pattern_worker:search"
"""What a pool of worker processes must allow."""

SECONDS = 1.0
"""How long a search in a process of its own may take."""

MEGABYTES = 64
"""How much memory it may take."""


async def search(
    pattern: str, text: str, flags: Flags, compute: Compute, *, group: int = 0, limit: int = 1
) -> list[str] | None:
    """The texts of one group in the first ``limit`` matches, each cut to ``RESULT_CAP``.

    A match in which the group took no part is left out. None when the pattern has no such group.

    Raises:
        BlockError: the pattern is wrong, or takes too long on this text.
    """
    answer = by_re2(pattern, text, flags, group, limit) if is_small(pattern, text) else None
    if answer is None:
        answer = await _in_worker(compute, pattern, text, flags.case_sensitive, flags.dot_all, group, limit)
    if "fault" in answer:
        raise BlockError(
            f"The pattern is not a regular expression: {answer['fault']}.",
            fix=r"Write \ before a sign such as ( or [ that is meant as itself.",
        )
    found: list[str] | None = answer["found"]
    return found


async def _in_worker(compute: Compute, *arguments: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = await compute.call(WORKER_FUNCTION, *arguments, seconds=SECONDS, megabytes=MEGABYTES)
    except ComputeLimit as limit:
        raise BlockError(
            f"The search for the pattern was ended: {limit.message}.",
            fix="Use a simpler pattern, without repeats inside repeats or look-around, or a shorter text.",
        ) from limit
    return answer
