"""Live events of this process: who tells the feed what, and whom it tells."""

import contextlib

from treadle.base.database import DatabaseUrls, create_pool
from treadle.engine.worker import Worker
from treadle.features.live.elsewhere import Elsewhere
from treadle.features.live.feed import Feed
from treadle.features.live.past import Past
from treadle.main.doors import PlatformDoors
from treadle.web.live.telling import Words


async def live_feed(
    urls: DatabaseUrls, worker: Worker, doors: PlatformDoors, stack: contextlib.AsyncExitStack, *, works: bool
) -> Feed:
    """The feed, connected to the worker that is about to start, if one is. It is closed with the stack."""
    pool = await create_pool(urls.api, min_size=0, max_size=4)
    stack.callback(pool.terminate)
    elsewhere = Elsewhere(urls.api, pool)
    feed = Feed(Past(pool), Words(), elsewhere, worker.roots.__contains__)
    stack.push_async_callback(feed.close)
    if works:
        worker.on_committed = feed.committed
        worker.on_over = feed.left
        doors.on_progress = feed.speech.hear
        elsewhere.start()
    return feed
