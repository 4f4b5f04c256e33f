"""Runs coroutines in tests that are not coroutines themselves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """On a loop of its own."""
    with asyncio.Runner() as runner:
        return runner.run(work)
