"""The engine's fixtures."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.harness import Engine, running_engine
from treadle.base.database import DatabaseUrls


@pytest.fixture
async def idle(database: DatabaseUrls, home: Path) -> AsyncIterator[Engine]:
    """An engine on which no worker runs yet."""
    async with running_engine(database, home) as engine:
        yield engine


@pytest.fixture
async def engine(idle: Engine) -> Engine:
    """An engine with one worker."""
    await idle.start()
    return idle
