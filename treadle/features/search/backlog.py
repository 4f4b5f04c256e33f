"""Gives vectors to the texts that wait for one. The database is the queue: what has no embedding waits."""

import asyncio
import logging
from collections.abc import Mapping

from treadle.features.search.embedders import Embedder, EmbeddingFailed
from treadle.features.search.repository import UNREACHABLE, Texts
from treadle.features.search.texts import BlockText

FIRST_SECONDS = 60.0
"""After the start: not while people wait for it, and not in a process that is stopped again at once."""
LOOK_SECONDS = 60.0
"""Between looks for what other processes have saved, and for what failed."""
SETTLE_SECONDS = 1.0
"""After a hint, so that a transaction that goes on can end, and a burst of saves is one batch."""

_log = logging.getLogger(__name__)


class Backlog:
    """Works off what waits, in one process at a time for each text; a text whose process dies is taken up again."""

    def __init__(self, texts: Texts, embedder: Embedder, blocks: Mapping[bytes, BlockText]) -> None:
        self._texts = texts
        self._embedder = embedder
        self._blocks = blocks
        self._hint = asyncio.Event()
        self._known = False

    def hint(self) -> None:
        """There may be something to do."""
        self._hint.set()

    async def run(self) -> None:
        """Work until cancelled. What fails is logged, and tried again later and later."""
        pause = FIRST_SECONDS
        while True:
            try:
                await asyncio.wait_for(self._hint.wait(), pause)
                await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                pass
            self._hint.clear()
            pause = LOOK_SECONDS
            try:
                await self.work_off()
            except UNREACHABLE:
                _log.exception("texts that wait for their embeddings could not be read; they are looked at again")

    async def work_off(self) -> int:
        """Give a vector to everything that is due; to how many texts."""
        await self.know_blocks()
        model, done = self._embedder.model, 0
        while waiting := await self._texts.claim(model):
            try:
                vectors = await self._embedder.embed([f"{each.title}. {each.body}" for each in waiting])
            except EmbeddingFailed as error:
                _log.warning("%s Searches go by words meanwhile.", error.message)
                break
            for each, vector in zip(waiting, vectors, strict=True):
                await self._texts.keep(each, model, vector)
            done += len(waiting)
        return done

    async def know_blocks(self) -> None:
        """Enter this install's blocks; once in each process."""
        if not self._known:
            await self._texts.know(self._embedder.model, self._blocks)
            self._known = True
