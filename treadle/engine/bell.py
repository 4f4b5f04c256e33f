"""The bell of an embedded install: LISTEN/NOTIFY, coalesced to one ring per topic and ten milliseconds."""

import asyncio
from collections.abc import Callable

import asyncpg

CHANNEL = "treadle_bell"
QUEUE = "queue"
_QUIET_SECONDS = 0.01


class PostgresBell:
    """Rings outside the journal's transaction, so that a commit never waits for the notification queue's lock."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._topics: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def ring(self, topic: str) -> None:
        """Tell every worker to look at ``topic`` (see ``treadle.engine.ports.Bell``)."""
        self._topics.add(topic)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send(), name="bell")

    async def _send(self) -> None:
        while self._topics:
            topics, self._topics = self._topics, set()
            try:
                async with self._pool.acquire() as connection:
                    await connection.execute(
                        "SELECT pg_notify($1, topic) FROM unnest($2::text[]) AS topic", CHANNEL, list(topics)
                    )
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return  # a lost ring is found by the sweeper
            await asyncio.sleep(_QUIET_SECONDS)

    async def close(self) -> None:
        """Send what is left."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


async def listen(connection: asyncpg.Connection, heard: Callable[[str], None]) -> None:
    """Call ``heard`` with the topic of every ring that reaches this connection."""
    await connection.add_listener(CHANNEL, lambda _connection, _pid, _channel, topic: heard(str(topic)))
