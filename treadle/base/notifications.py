"""Hearing what the database tells: one connection that listens on one channel, again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

_RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Notifications:
    """Calls ``heard`` with what transactions notify on a channel, from ``start`` to ``close``.

    ``missed`` is called whenever the connection was lost and is there again: what was told meanwhile was not heard.
    """

    def __init__(
        self, dsn: str, channel: str, heard: Callable[[str], None], missed: Callable[[], Awaitable[None]]
    ) -> None:
        self._dsn = dsn
        self._channel = channel
        self._heard = heard
        self._missed = missed
        self._lost = asyncio.Event()
        self._connection: asyncpg.Connection | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen from now on."""
        await self._connect()
        self._task = asyncio.create_task(self._keep_listening(), name=f"notifications {self._channel}")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None:
            self._connection.terminate()

    async def _connect(self) -> None:
        self._lost.clear()
        self._connection = connection = await asyncpg.connect(self._dsn)
        connection.add_termination_listener(lambda _connection: self._lost.set())
        await connection.add_listener(self._channel, self._received)

    def _received(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._heard(str(payload))

    async def _keep_listening(self) -> None:
        while True:
            await self._lost.wait()
            _log.warning("The database no longer tells of changes; connecting again")
            while self._lost.is_set():
                try:
                    await self._connect()
                    await self._missed()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    self._lost.set()
                    await asyncio.sleep(_RETRY_SECONDS)
