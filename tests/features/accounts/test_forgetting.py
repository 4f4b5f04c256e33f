"""What is good for nothing any more goes; what still is, or tells of a copy, stays."""

from tests.features.accounts.conftest import Process, run
from treadle.features.accounts.forgetting import forget_spent
from treadle.features.accounts.links import Return
from treadle.features.accounts.throttle import LINK_ADDRESS


async def test_spent_links_and_old_counts_go(process: Process) -> None:
    details = {**Return().details(), "browser": ""}
    async with process.storage.repository() as accounts:
        old = [await process.door.desk.links.make(accounts, "provider", None, details) for _ in range(2)]
    await process.door.desk.throttle.take(LINK_ADDRESS, "old")
    await forget_spent(process.urls.auth)
    assert await run(process.urls.owner, "SELECT count(*) FROM one_time_tokens") == len(old)
    for table, column in (("one_time_tokens", "expires_at"), ("throttles", "updated_at")):
        await run(process.urls.owner, f"UPDATE {table} SET {column} = {column} - interval '2 days'")
    async with process.storage.repository() as accounts:
        await process.door.desk.links.make(accounts, "provider", None, details)
    await process.door.desk.throttle.take(LINK_ADDRESS, "new")
    await forget_spent(process.urls.auth)
    for table in ("one_time_tokens", "throttles"):
        assert await run(process.urls.owner, f"SELECT count(*) FROM {table}") == 1
