"""Work that nobody waits for, such as sending a mail: how long it takes tells nobody anything."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from treadle.base.errors import TreadleError

_MOST = 1_000
_log = logging.getLogger(__name__)


class Background:
    """Runs such work, and is done with it before it is closed."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None], about: str) -> None:
        """Start it. When far too much is under way already it is dropped, and the log says so."""
        if len(self._tasks) >= _MOST:
            work.close()
            _log.error("Too much is under way: %s was dropped", about)
            return
        task = asyncio.get_running_loop().create_task(_told(work, about))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks)


async def _told(work: Coroutine[Any, Any, None], about: str) -> None:
    try:
        await work
    except TreadleError as error:
        _log.error("%s failed: %s %s", about, error.message, error.fix)
    except Exception:  # noqa: BLE001 (the edge: nobody is there whom an error could be told)
        _log.exception("%s failed", about)
