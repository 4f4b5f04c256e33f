"""What an installation does by itself once a day.

Partitions ahead; old runs, old idempotency keys, unused large values, what has run out of sessions, links and
invitations, and deleted workspaces away.
"""

import asyncio
import logging
from datetime import timedelta

import asyncpg

from treadle.base.config import Settings
from treadle.base.database import DatabaseUrls
from treadle.engine.retention import drop_expired, drop_snapshots, ensure_partitions, sweep_blobs
from treadle.features.accounts.sweeping import sweep_accounts
from treadle.features.files.store import LocalFileStore
from treadle.features.files.sweeping import sweep_files
from treadle.features.idempotency.service import forget_keys
from treadle.main.purging import purge_workspaces

FIRST_SECONDS = 60.0
"""After the start: not while people wait for it."""
DAY_SECONDS = 86_400.0

_log = logging.getLogger(__name__)


async def keep_house(settings: Settings, urls: DatabaseUrls, pool: asyncpg.Pool) -> None:
    """Do it a minute from now, and then every day, until cancelled. A failure is logged and tried again next time."""
    pause = FIRST_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = DAY_SECONDS
        try:
            await tidy(settings, urls, pool)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            _log.exception("housekeeping failed; it is tried again tomorrow")


async def tidy(settings: Settings, urls: DatabaseUrls, pool: asyncpg.Pool) -> None:
    """One round. Runs are kept for ever unless TREADLE_KEEP_DAYS says otherwise."""
    await ensure_partitions(urls.owner)
    await drop_snapshots(pool)
    await sweep_files(pool, LocalFileStore(settings.home / "files"))
    await forget_keys(pool)
    await sweep_accounts(urls.auth)
    await purge_workspaces(urls.owner, settings.home, timedelta(days=settings.deleted_workspace_days))
    if settings.keep_days:
        await drop_expired(urls.owner, timedelta(days=settings.keep_days))
    await sweep_blobs(urls.engine, settings.home / "values")  # people delete runs as well
