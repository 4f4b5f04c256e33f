"""Answers that are kept for some seconds, or until they are told to have changed."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from functools import partial
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """What ``ask`` answers for each key. An answer is never older than ``seconds``.

    Many who want the same answer at once ask once. An answer that was under way when its key was forgotten is given to
    those who waited for it, and not kept: it may be from before the change.
    """

    def __init__(
        self, ask: Callable[[K], Awaitable[V]], seconds: float, monotonic: Callable[[], float], most: int = 20_000
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._monotonic = monotonic
        self._most = most
        self._known: dict[K, tuple[float, V]] = {}
        self._asking: dict[K, asyncio.Future[V]] = {}

    async def get(self, key: K) -> V:
        """The answer. Raises what ``ask`` raises; failures are not kept."""
        known = self._known.get(key)
        if known is not None and known[0] > self._monotonic():
            return known[1]
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(self._ask(key))
            task.add_done_callback(partial(self._answered, key, self._monotonic()))
        return await asyncio.shield(task)

    def _answered(self, key: K, asked_at: float, task: "asyncio.Future[V]") -> None:
        failed = task.cancelled() or task.exception() is not None  # asking for it also says that it was seen
        if self._asking.get(key) is not task:
            return
        del self._asking[key]
        if not failed:
            self._known.pop(key, None)
            while len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = (asked_at + self._seconds, task.result())

    def forget(self, fits: Callable[[K], bool]) -> None:
        """Ask again for the keys that fit."""
        for kept in (self._known, self._asking):
            for key in [key for key in kept if fits(key)]:
                del kept[key]

    def forget_all(self) -> None:
        """Ask again for everything."""
        self._known.clear()
        self._asking.clear()

    def items(self) -> Iterator[tuple[K, V]]:
        """What is kept, fresh or not."""
        return ((key, value) for key, (_, value) in list(self._known.items()))
