"""What an installation does by itself once a day, on a running platform."""

from datetime import timedelta

import asyncpg
import pytest

from tests.conftest import isolated_settings
from tests.main.installs import running_install
from treadle.base.database import create_pool
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, uuid7
from treadle.features.idempotency.service import KEPT
from treadle.main.housekeeping import tidy
from treadle.main.wiring import running_platform

OLD = timedelta(days=100)


async def test_one_round_removes_what_is_of_no_use_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_install() as home:
        settings = isolated_settings(home, monkeypatch)
        async with running_platform(settings, works=False) as platform:
            owner = await asyncpg.connect(platform.urls.owner)
            pool = await create_pool(platform.urls.engine)
            try:
                await _make_old(owner)
                assert await _left(owner) == [1, 1, 1, 1, 1]
                for _ in range(2):
                    await tidy(settings, platform.urls, pool)
                    assert await _left(owner) == [0, 0, 0, 0, 0]
                assert (
                    await owner.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'journal'::regclass") > 3
                )
            finally:
                pool.terminate()
                await owner.close()


async def _make_old(owner: asyncpg.Connection) -> None:
    """One of each that is too old to be of any use."""
    workspace = uuid7()
    await owner.execute(
        "INSERT INTO workspaces (id, name, deleted_at) VALUES ($1, 'x', now() - $2::interval)", workspace, OLD
    )
    await owner.execute("INSERT INTO members VALUES ($1, $2, 'owner')", workspace, OPERATOR)
    await owner.execute(
        "INSERT INTO sessions (id, user_id, method, ended_at, end_reason)"
        " VALUES ($1, $2, 'password', now() - $3::interval, 'signed out')",
        uuid7(),
        OPERATOR,
        OLD,
    )
    await owner.execute("INSERT INTO throttles VALUES ('x', 1, now() - $1::interval)", OLD)
    await owner.execute(
        "INSERT INTO idempotency_keys (workspace_id, user_id, key, route, digest, created_at)"
        " VALUES ($1, $2, 'k', 'r', 'd', now() - $3::interval)",
        LOCAL_WORKSPACE,
        OPERATOR,
        2 * KEPT,
    )


async def _left(owner: asyncpg.Connection) -> list[int]:
    queries = (
        "members",
        "sessions",
        "throttles",
        "idempotency_keys",
        "workspaces WHERE purged_at IS NULL AND name = 'x'",
    )
    return [await owner.fetchval(f"SELECT count(*) FROM {each}") for each in queries]
